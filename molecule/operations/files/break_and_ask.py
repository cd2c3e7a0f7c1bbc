"""Break something, ask for the status until it says what is wanted, fix it, and ask until all is well again.

Standard input: JSON with break and fix (shell), code (the exit code wanted), lines (patterns of lines wanted, the
first for the first line of all) and quiet (whether all units must stay active meanwhile). Prints how long it took.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

given = json.load(sys.stdin)
SECRETS = [text for path in Path("/etc/tutorial/current/credentials").iterdir() if (text := path.read_text())]


def ask():
    """Return the exit code and the lines, after what holds for every answer."""
    started = time.monotonic()
    answer = subprocess.run(["tutorial-manage", "status"], capture_output=True, text=True, timeout=30)
    took = time.monotonic() - started
    said = answer.stdout + answer.stderr
    assert took <= 20, f"It took {took:.1f} s:\n{said}"
    assert "Traceback" not in said, said
    assert answer.stderr == "", said
    assert not [secret for secret in SECRETS if secret in said], "It tells a secret."
    assert all(line.isprintable() for line in answer.stdout.splitlines()), repr(said)
    assert answer.stdout.startswith(("OK ", "WARNING ", "CRITICAL ")[answer.returncode]), said
    return answer.returncode, answer.stdout.splitlines()


def ask_until(seconds, code, patterns):
    """Ask until the code and all lines are there; return the seconds that it took."""
    started = time.monotonic()
    while True:
        found, lines = ask()
        seen = found == code and re.search(patterns[0], lines[0]) if patterns else found == code
        if seen and all(any(re.search(pattern, line) for line in lines) for pattern in patterns):
            return time.monotonic() - started
        if time.monotonic() - started > seconds:
            sys.exit(f"Not seen within {seconds} s: {code} {patterns}\n" + "\n".join(lines))


def shell(script):
    """Run it, without the pipe that a process left behind would keep open."""
    subprocess.run(["sh", "-euc", script], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


ask_until(60, 0, ["^OK "])
try:
    shell(given["break"])
    noticed = ask_until(60, given["code"], given["lines"])
    if given.get("quiet"):
        shell("systemctl --quiet is-active tutorial-web tutorial-worker tutorial-beat rabbitmq-server")
finally:
    shell(given["fix"])
fixed = ask_until(60, 0, ["^OK "])
print(f"told after {noticed:.0f} s, well again after {fixed:.0f} s")
