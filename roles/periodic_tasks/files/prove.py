"""Wait until this host's services are seen at their work; prints one JSON line and never fails: the caller judges.

Standard input: JSON with seconds (how long to wait), interval (seconds between two runs), elsewhere (services of
which another host may have the run) and checks, a mapping of a service to either unit and words (of a journal line)
or url and headers (of a page that must answer 200).
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

given = json.load(sys.stdin)
started = time.time()
# A run has begun and ended by then, as long as nothing is wrong.
patience = 2 * given["interval"] + 5


def process_started(unit):
    """Return when the unit's process started, in seconds since 1970, or when this program did if there is none."""
    show = ["systemctl", "show", "--timestamp=unix", "--property=ExecMainStartTimestamp", "--value", unit]
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
    return int(shown.removeprefix("@") or started)


def line_in_journal(unit, words):
    """Return the newest line with all the words since the unit's process started, not older than two intervals."""
    since = max(process_started(unit), int(started - patience))
    read = ["journalctl", "--quiet", f"--unit={unit}", f"--since=@{since}", "--output=cat"]
    lines = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    return next((line for line in reversed(lines) if all(word in line for word in words)), None)


def page(url, headers):
    """Return the page's status if it is 200."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return f"{url} answers {answer.status}" if answer.status == 200 else None
    except (OSError, urllib.error.URLError):
        return None


def awaited(service):
    """Tell whether the service hasn't been seen and still may be."""
    if seen[service] is not None:
        return False
    here = service not in given["elsewhere"]
    return here or time.time() - process_started(given["checks"][service]["unit"]) < patience


seen = dict.fromkeys(given["checks"])
while True:
    for service, check in given["checks"].items():
        if seen[service] is None:
            seen[service] = page(**check) if "url" in check else line_in_journal(**check)
    if not any(map(awaited, seen)) or time.time() - started > given["seconds"]:
        break
    time.sleep(1)
print(json.dumps(seen))
