"""Ask for a page through each proxy, each time by a new connection, until a file is there; fail if one request does.

Arguments: the file, the proxies' addresses with blanks between them. It ends after twenty minutes in any case.
"""

import http.client
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

end = time.monotonic() + 1200
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
seconds: list[float] = []
failed: list[str] = []


def ask(address: str) -> None:
    """Ask until the time is over."""
    while time.monotonic() < end and not Path(sys.argv[1]).exists():
        began = time.monotonic()
        try:
            with socket.create_connection((address, 443), 40) as plain:
                connection = http.client.HTTPSConnection("oauth.example.org")
                connection.sock = context.wrap_socket(plain, server_hostname="oauth.example.org")
                connection.request("GET", "/accounts/login/")
                answer = connection.getresponse()
                answer.read()
                connection.close()
                if answer.status != 200:
                    failed.append(f"{address}: {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            failed.append(f"{address}: {error!r}")
        seconds.append(time.monotonic() - began)
        time.sleep(0.2)


threads = [threading.Thread(target=ask, args=(address,)) for address in sys.argv[2].split() for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{len(seconds)} requests, {len(failed)} failed: {failed[:5]}; the slowest took {max(seconds):.1f} s")
sys.exit(bool(failed))
