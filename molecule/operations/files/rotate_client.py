"""Ask for /healthz and a token again and again, as clients do, until a file appears; prints what went wrong as JSON.

Standard input: base URL, client id and secret, and the file's path as JSON. Run on the host.
"""

import base64
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

given = json.load(sys.stdin)
stop = Path(given["stop"])
basic = base64.b64encode(f"{given['id']}:{given['secret']}".encode()).decode()
form = urllib.parse.urlencode({"grant_type": "client_credentials"}).encode()
requests = {
    "/healthz": urllib.request.Request(given["base"] + "/healthz"),
    "/o/token/": urllib.request.Request(given["base"] + "/o/token/", form, {"Authorization": f"Basic {basic}"}),
}
counts, longest, errors = dict.fromkeys(requests, 0), 0.0, []
while not stop.exists():
    for path, request in requests.items():
        begin = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
        except OSError as error:
            errors.append(f"{time.strftime('%H:%M:%S')} {path}: {error}")
        counts[path] += 1
        longest = max(longest, time.monotonic() - begin)
    time.sleep(0.05)
print(json.dumps({"answers": counts, "longest": round(longest, 1), "errors": errors}))
