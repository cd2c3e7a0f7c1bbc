"""Hold the journals of beat and worker against the tutorial's wording and rhythm.

Argument: expected seconds between two ticks.
"""

import itertools
import re
import subprocess
import sys
import time

step = float(sys.argv[1])
# A unit's lines since its process started, so that a restart isn't taken for a late tick.
SENT = r"Scheduler: Sending due task clear stale tokens \(tutorial\.tasks\.clear_tokens\)$"
RECEIVED = r"Task tutorial\.tasks\.clear_tokens\[[0-9a-f-]{36}\] received$"
SUCCEEDED = r"Task tutorial\.tasks\.clear_tokens\[[0-9a-f-]{36}\] succeeded in [0-9.e-]+s: None$"


def times(unit, pattern):
    """Seconds since 1970 of the matching lines of the last few ticks."""
    command = ["journalctl", "--quiet", f"--unit={unit}", "--output=short-unix", f"--since=@{begin}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [float(line.split()[0]) for line in lines if re.search(pattern, line)]


begin = int(time.time())
time.sleep(3.5 * step + 4)
sent = times("tutorial-beat", SENT)
steps = [round(later - earlier, 2) for earlier, later in itertools.pairwise(sent)]
received, succeeded = times("tutorial-worker", RECEIVED), times("tutorial-worker", SUCCEEDED)
print(f"sent {len(sent)}, steps {steps} s, received {len(received)}, succeeded {len(succeeded)}")
assert len(sent) >= 3
# Beat is never early; the machine may be busy.
assert all(0.95 * step <= each <= step + 3 for each in steps), steps
assert abs(len(received) - len(sent)) <= 1
assert abs(len(succeeded) - len(sent)) <= 1
