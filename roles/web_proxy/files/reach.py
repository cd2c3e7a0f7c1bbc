"""Fetch a file of our own by each name, as an authority would; prints one line for each that doesn't lead here.

Standard input: JSON with names, and folder (where nginx takes challenges from).
"""

import http.client
import json
import os
import secrets
import sys
from pathlib import Path

given = json.load(sys.stdin)
text = secrets.token_urlsafe(32)
name_of_file = f"own-check-{secrets.token_hex(8)}"
file = Path(given["folder"], ".well-known/acme-challenge", name_of_file)


def problem(name):
    """Return why the name doesn't lead here, or nothing."""
    try:
        connection = http.client.HTTPConnection(name, 80, timeout=10)
        connection.request("GET", f"/.well-known/acme-challenge/{name_of_file}")
        answer = connection.getresponse()
        found = answer.read(1000)
    except (OSError, http.client.HTTPException) as error:
        return f"{name} can't be reached ({error})"
    if found != text.encode():
        return f"{name} leads to another server (which answers {answer.status})"
    return None


file.write_text(text)
try:
    os.chmod(file, 0o644)
    print("\n".join(filter(None, map(problem, given["names"]))))
finally:
    file.unlink()
