"""Ask for a page over https for so many seconds, each time by a new connection; fail if one request does.

Further arguments are a command that is run meanwhile.
"""

import http.client
import socket
import ssl
import subprocess
import sys
import threading
import time

end = time.monotonic() + float(sys.argv[1])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
served: list[bytes] = []
failed: list[str] = []


def ask() -> None:
    """Ask until the time is over."""
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", 443), 10) as plain:
                connection = http.client.HTTPSConnection("oauth.example.org")
                connection.sock = context.wrap_socket(plain, server_hostname="oauth.example.org")
                served.append(connection.sock.getpeercert(binary_form=True))
                connection.request("GET", "/healthz")
                answer = connection.getresponse()
                if answer.status != 200:
                    failed.append(str(answer.status))
                answer.read()
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            failed.append(repr(error))
        time.sleep(0.02)


threads = [threading.Thread(target=ask) for _ in range(3)]
for thread in threads:
    thread.start()
time.sleep(float(sys.argv[1]) / 5)
if sys.argv[2:]:
    subprocess.run(sys.argv[2:], check=True)
for thread in threads:
    thread.join()
print(f"{len(served)} requests with {len(set(served))} certificate(s), {len(failed)} failed: {failed[:5]}")
sys.exit(bool(failed) or not served)
