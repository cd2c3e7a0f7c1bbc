"""Print what is different from the host before it was provisioned, but for what docs/operations.md names.

Standard input: JSON with the source of snapshot.py, and whether data was kept.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

# What Debian's packages bring and leave, and what changes by itself.
NAMED = [
    r"^package ",
    r"^(unit file|unit) (watch|network\.target|epmd|logrotate|rabbitmq|postgres)",
    r"^(unit file|unit) (apt-daily|dpkg-db|e2scrub|systemd-tmpfiles|uuidd)",
    r"^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-? ",
    r"^/etc/(ld\.so\.cache|mailcap|sysusers\.d) ",
    r"^/etc/(cron\.daily/logrotate|logrotate\.(conf|d/[bw]tmp)) ",
    r"^/etc/systemd/system/[^/ ]+\.target\.wants(/(epmd|logrotate)\S*)? ",
    r"^/var/lib/(logrotate|systemd|python|polkit-1|ucf|private|postgresql|dbus)\b",
    r"^/var/(log|tmp|backups)\b",
    r"^/(tmp|root|home)\b",
    r"^/run/credentials\b",
    r"^(user|group) epmd\b",
    r"^/etc/ssl\b",
]
KEPT = [
    r"^/var/lib/(tutorial|rabbitmq)\b",
    r"^/etc/(default|init\.d|logrotate\.d|rc\d\.d)/(\w*rabbitmq-server) ",
    r"^(user|group) rabbitmq",
]

given = json.load(sys.stdin)
run = subprocess.run([sys.executable, "-"], input=given["snapshot"], capture_output=True, text=True, check=True)
now, before = set(run.stdout.splitlines()), set(Path("/var/tmp/pristine.txt").read_text().splitlines())
named = re.compile("|".join(NAMED + (KEPT if given["kept"] else [])))
for sign, lines in (("+", now - before), ("-", before - now)):
    for line in sorted(lines):
        if not named.search(line):
            print(sign, line)
