#!/usr/bin/python3
"""Report that a systemd unit failed: to the journal, and to the operator's command.

Usage: failure-report UNIT

A unit that fails again and again is reported in full every ten minutes. Written by Ansible (role monitoring).
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

LINES = 15
QUIET_SECONDS = 600
ERROR = "<3>"  # err, for sd-daemon(3)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

unit = sys.argv[1]
last = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/failure-report")) / unit


def printable(line):
    """Return the line with ? for what a terminal would obey: names in it may come from anybody."""
    return "".join(letter if letter.isprintable() else "?" for letter in COLOURS.sub("", line))


def lines_of(*command):
    """Return what a program prints; nothing if it can't, so that a report is made in any case."""
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    return [printable(line) for line in said.decode(errors="replace").split("\n") if line]


if last.exists() and time.time() - last.stat().st_mtime < QUIET_SECONDS:
    print(f"{ERROR}{unit} failed again")
    sys.exit()

# systemd knows how it ended, also where the journal keeps nothing.
shown = lines_of("systemctl", "--property=Result,ExecMainStatus,NRestarts,StatusText", "show", unit)
read = ["journalctl", "--quiet", "--no-pager", "--all", "--output=short-iso", f"--lines={LINES}", f"--unit={unit}"]
report = [f"{unit} failed on {os.uname().nodename} ({', '.join(shown)}); its last lines:", *lines_of(*read)]
print("\n".join(ERROR + line for line in report), flush=True)
last.touch()

command = json.loads(Path("/etc/failure-report.json").read_text())["command"]
if command:
    subprocess.run(command, input="\n".join(report) + "\n", text=True, check=True, env=os.environ | {"UNIT": unit})
