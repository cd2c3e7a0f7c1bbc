"""Hold the units' journals against the rules: one timestamp, right priorities, requests apart, without query."""

import json
import re
import subprocess

UNITS = ("rabbitmq-server", "tutorial-web", "tutorial-worker", "tutorial-beat")
LEVELS = {"DEBUG": "7", "INFO": "6", "WARNING": "4", "ERROR": "3", "CRITICAL": "2"}

command = ["journalctl", "--quiet", "--boot", "--output=json", *(f"--unit={unit}" for unit in UNITS)]
entries = [json.loads(line) for line in subprocess.run(command, capture_output=True, check=True).stdout.splitlines()]
seen = set()
for entry in entries:
    message, identifier = entry["MESSAGE"], entry.get("SYSLOG_IDENTIFIER")
    assert isinstance(message, str), f"not plain text: {bytes(message)!r}"
    # What RabbitMQ prints before it has read its configuration has another identifier and its own timestamps.
    if identifier != "rabbitmq":
        assert not re.match(r"(<\d>)|(\[?\d{4}-\d\d-\d\d[ T])", message), message
    assert "\x1b" not in message, message
    if level := re.match(r"\[([A-Z]+)/", message):
        assert entry["PRIORITY"] == LEVELS[level[1]], (entry["PRIORITY"], message)
        seen.add((identifier, level[1]))
    if identifier == "tutorial-requests":
        assert "of-nobodys-business" not in message, message
        seen.add((identifier, message.split('"')[1]))
    elif identifier == "tutorial-web":
        assert '"GET ' not in message, message

for expected in [
    ("tutorial-requests", "GET /healthz"),
    ("tutorial-requests", "GET /not-there"),
    ("tutorial-web", "WARNING"),
    ("tutorial-web", "INFO"),
    ("tutorial-worker", "INFO"),
    ("tutorial-beat", "INFO"),
]:
    assert expected in seen, f"{expected} is not among {sorted(seen)}"
