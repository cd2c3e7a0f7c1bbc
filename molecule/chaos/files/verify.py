"""Hold the end against the promises: expired tokens gone, live ones there, no run lost or beside another."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

INTERVAL, TOLERANCE = 10, 3
LATE = 0.05  # s, by which the journal may take up a line late
COUNT = (
    "from django.utils.timezone import now; from oauth2_provider.models import AccessToken as A; a = A.objects;"
    "left = a.filter(expires__lt=now()).count(), a.filter(scope='live').count();"
    "print(*left, a.create(token='last', expires=now()).pk)"
)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


problems = []
expired, live, fed = map(int, output("tutorial-manage", "shell", "--verbosity=0", "--command", COUNT).split())
if expired:
    problems.append(f"{expired} expired tokens are left")
if live != 20:
    problems.append(f"{live} of 20 live tokens are left")
    problems.append(
        output("journalctl", "--quiet", "--unit=tutorial-feeder", "--output=short-unix", "--grep=live tokens")
    )

read = ("journalctl", "--quiet", "--unit=tutorial-worker", "--output=short-unix")
ran = re.compile(r"^(\S+) .*Task tutorial\.tasks\.clear_tokens\[.*\] succeeded in ([0-9.e-]+)s", re.MULTILINE)
runs = [(float(end) - float(took), float(end)) for end, took in ran.findall(output(*read))]
noted = [line.split() for line in Path("/var/log/chaos").read_text().splitlines()]
faults = [(float(began), float(seen), name) for name, began, seen, _ in noted]

for (_, end), (begin, _) in pairwise(runs):
    if begin < end - LATE:
        problems.append(f"Two runs at once at {begin}")
    # A fault may hold up a run until it is over; the next one must come in time.
    if begin - end > INTERVAL + TOLERANCE and not any(began <= begin and end <= seen for began, seen, _ in faults):
        problems.append(f"No run between {end} and {begin}")

failed = output("systemctl", "list-units", "--failed", "--plain", "--no-legend").strip()
if failed:
    problems.append(failed)
print(
    f"{len(faults)} faults, {len(runs)} runs, {fed - 1} tokens came in, {expired} expired and {live} live ones are left"
)
if problems:
    sys.exit("\n".join(problems))
