"""Look at the front door from this host: TLS, names, headers, limits, and what the app gets to know of the client."""

import http.client
import re
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

NAME = "oauth.example.org"
ONCE = {
    "content-security-policy",
    "permissions-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
}


def authority() -> ssl.SSLContext:
    """Return what trusts the authority's own root alone, fetched from where pebble offers it."""
    trust = ssl.create_default_context(cafile="/etc/pebble/root.pem")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    with opener.open("https://127.0.0.1:15000/roots/0") as answer:
        return ssl.create_default_context(cadata=answer.read().decode())


def connect(context: ssl.SSLContext, name: str = NAME) -> ssl.SSLSocket:
    """Return a connection to nginx."""
    return context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 10), server_hostname=name)


def ask(context: ssl.SSLContext, method: str, path: str, name: str = NAME, **headers: str) -> http.client.HTTPResponse:
    """Return the answer over https, its body as `text`."""
    connection = http.client.HTTPSConnection(name)
    connection.sock = connect(context, name)
    connection.request(
        method, path, b"a=b" if method == "POST" else None, {k.replace("_", "-"): v for k, v in headers.items()}
    )
    answer = connection.getresponse()
    answer.text = answer.read().decode(errors="replace")
    return answer


def plain(name: str) -> bytes:
    """Return the answer over http."""
    with socket.create_connection(("127.0.0.1", 80), 10) as client:
        client.sendall(f"GET /a?b=c HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        try:
            return client.recv(10000)
        except ConnectionResetError:
            return b""


def tls(*options: str) -> str:
    """Return what openssl says of a handshake."""
    command = ["openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", NAME, *options]
    return subprocess.run(command, input="", capture_output=True, text=True, check=False).stdout


def journal(*identifiers: str) -> str:
    """Return the lines of the last minute that have one of these identifiers."""
    command = ["journalctl", "--no-pager", "--output=cat", "--since=-1min"]
    command += [f"--identifier={identifier}" for identifier in identifiers]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


context = authority()
for name in (NAME, "id.example.org"):
    assert ask(context, "GET", "/healthz", name).status == 200, name
refused_name = False
try:
    connect(context, "other.example.org")
except ssl.SSLError as error:
    refused_name = "UNRECOGNIZED_NAME" in str(error)
assert refused_name, "nginx serves a name that isn't the site's"

assert plain("id.example.org").split(b"\r\n")[0] == b"HTTP/1.1 301 Moved Permanently"
assert b"\r\nLocation: https://id.example.org/a?b=c\r\n" in plain("id.example.org")
assert plain("other.example.org") == b""

context.set_alpn_protocols(["h2"])
assert connect(context).selected_alpn_protocol() == "h2"
context.set_alpn_protocols(["http/1.1"])
old = ("-cipher", "DEFAULT@SECLEVEL=0")
assert "Cipher is (NONE)" in tls("-tls1_1", *old), "TLS 1.1"
assert "Cipher is (NONE)" in tls("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256")
assert "Cipher is ECDHE-" in tls("-tls1_2")
assert "session ticket" not in tls("-tls1_2"), "a ticket"

answer = ask(context, "GET", "/")
names = [name.lower() for name, _ in answer.getheaders()]
assert {name for name in ONCE if names.count(name) == 1} == ONCE, names
assert answer.headers["Server"] == "nginx"
assert answer.headers["Strict-Transport-Security"] == "max-age=3600"

# What a client says of itself reaches neither the app nor the log.
lies = {"X_Forwarded_For": "192.0.2.66", "Forwarded": "for=192.0.2.66;proto=http", "X_Forwarded_Proto": "http"}
assert ask(context, "GET", "/accounts/login/?lies=1", **lies).status == 200
lines = journal("nginx", "tutorial-requests")
assert lines.count('127.0.0.1 "GET /accounts/login/"') == 2, lines
assert "192.0.2.66" not in lines
assert "lies" not in lines

# nginx asks for a file whose name follows from what it holds once, for anything else each time.
page = ask(context, "GET", "/accounts/login/").text
named = next(path for path in re.findall('"(/static/[^"]+)"', page) if re.search(r"[.][0-9a-f]{12}[.]", path))
plainly = re.sub(r"[.][0-9a-f]{12}[.]", ".", named)
files = {ask(context, "GET", f"{path}?{number}").text for path in (named, plainly) for number in range(3)}
assert len(files) == 1
assert len(files.pop()) > 100
assert ask(context, "GET", named, If_None_Match="x", Range="bytes=0-9").status == 206
asked = journal("tutorial-requests")
assert asked.count(f'"GET {named}"') == 1, asked
assert asked.count(f'"GET {plainly}"') == 3, asked

answers = [ask(context, "POST", "/accounts/login/") for _ in range(60)]
refused = [answer for answer in answers if answer.status == 429]
assert refused
assert {answer.headers["Retry-After"] for answer in refused} == {"30"}
assert ask(context, "GET", "/accounts/login/").status == 200

assert oct(Path("/run/tutorial-web.sock").stat().st_mode)[-3:] == "660"
with socket.socket() as client:
    assert client.connect_ex(("127.0.0.1", 8000)) != 0
