"""Ask for a page and a token again and again, as clients do, until SIGTERM, and write how it went to a file.

Its path is the argument. Standard input: base URL, client id and secret as JSON. Run on the host.
"""

import base64
import json
import signal
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

given = json.load(sys.stdin)
basic = base64.b64encode(f"{given['id']}:{given['secret']}".encode()).decode()
form = urllib.parse.urlencode({"grant_type": "client_credentials"}).encode()
requests = (
    urllib.request.Request(given["base"] + "/healthz"),
    urllib.request.Request(given["base"] + "/o/token/", form, {"Authorization": f"Basic {basic}"}),
)
asked, longest, failed = 0, 0.0, []
asks = True


def end(*_):
    global asks
    asks = False


signal.signal(signal.SIGTERM, end)
while asks:
    for request in requests:
        begin = time.monotonic()
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                answer.read()
        except OSError as error:
            failed.append(f"{time.strftime('%H:%M:%S')} {request.selector}: {error}")
        asked += 1
        longest = max(longest, time.monotonic() - begin)
    time.sleep(0.05)
Path(sys.argv[1]).write_text(json.dumps({"asked": asked, "longest": round(longest, 1), "failed": failed}))
