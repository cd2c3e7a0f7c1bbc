"""Ask for tokens again and again, as clients do, until SIGTERM, and write how it went to a file.

Its path is the argument. Standard input: base URL, client id and secret as JSON. Written are, for each request, its
beginning, its end, and the SHA-256 of the token or what was answered instead.
"""

import base64
import hashlib
import json
import signal
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

CLIENTS = 2
given = json.load(sys.stdin)
basic = base64.b64encode(f"{given['id']}:{given['secret']}".encode()).decode()
form = urllib.parse.urlencode({"grant_type": "client_credentials"}).encode()
request = urllib.request.Request(given["base"] + "/o/token/", form, {"Authorization": f"Basic {basic}"})
ended = threading.Event()
answers: list[dict[str, object]] = []


def ask() -> None:
    """Be one client."""
    while not ended.is_set():
        begin = time.time()
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                token = json.load(answer)["access_token"]
            said = {"token": hashlib.sha256(token.encode()).hexdigest()}
        except OSError as error:
            said = {"error": str(error)}
        answers.append({"begin": begin, "end": time.time(), **said})
        ended.wait(0.3)


signal.signal(signal.SIGTERM, lambda *_: ended.set())
clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
for client in clients:
    client.start()
for client in clients:
    client.join()
Path(sys.argv[1]).write_text(json.dumps(answers))
