"""Open 500 connections that send half a request each; see that honest requests are answered at once meanwhile."""

import http.client
import socket
import ssl
import time

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def connect() -> ssl.SSLSocket:
    """Return a connection to nginx."""
    return context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 10), server_hostname="oauth.example.org")


halves = [
    b"GET / HTTP/1.1\r\nHost: oauth.example.org\r\nX-Half:",
    b"POST /o/token/ HTTP/1.1\r\nHost: oauth.example.org\r\nContent-Length: 1000\r\n\r\nhalf",
]
slow = [connect() for _ in range(500)]
for number, client in enumerate(slow):
    client.sendall(halves[number % 2])
seconds = []
for _ in range(20):
    began = time.monotonic()
    connection = http.client.HTTPSConnection("oauth.example.org")
    connection.sock = connect()
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    seconds.append(time.monotonic() - began)
assert max(seconds) < 1, seconds
print(f"beside 500 half requests the slowest of 20 took {max(seconds):.2f} s")
