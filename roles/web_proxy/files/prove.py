"""Ask nginx on this host for the health page over https, by each name; prints why not and ends with 1 if one fails.

Standard input: JSON with names, and path.
"""

import http.client
import json
import socket
import ssl
import sys
import time

SECONDS = 20

given = json.load(sys.stdin)
# Whose certificate it is, is seen by those who ask from outside.
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def answer(name):
    """Return the status with which the page is answered, or what went wrong."""
    try:
        with socket.create_connection(("127.0.0.1", 443), 10) as plain:
            connection = http.client.HTTPSConnection(name, timeout=10)
            connection.sock = context.wrap_socket(plain, server_hostname=name)
            connection.request("GET", given["path"])
            return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


for name in given["names"]:
    until = time.monotonic() + SECONDS
    while (seen := answer(name)) != 200 and time.monotonic() < until:
        time.sleep(1)
    if seen != 200:
        print(f"Through nginx, https://{name}{given['path']} answers {seen} instead of 200.")
        sys.exit(1)
