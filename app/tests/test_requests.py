"""Requests in forms that clients may choose, to gunicorn and to Django's own server."""

import socket
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from oauth2_provider.models import Application
from pytest_django.live_server_helper import LiveServer

from .conftest import both_engines_for_real
from .server import Server

pytestmark = [both_engines_for_real, pytest.mark.parametrize("engine", ["sqlite"], indirect=True)]
SECRET = "0123456789abcdef0123456789abcdef"
FORM = {"grant_type": "client_credentials", "client_id": "an-id", "client_secret": SECRET}
CONTENT_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(params=["gunicorn", "runserver"])
def any_server(request: pytest.FixtureRequest, engine: str) -> Server:
    if request.param == "gunicorn":
        server: Server = request.getfixturevalue("server")
        return server
    live: LiveServer = request.getfixturevalue("live_server")
    return Server(urlsplit(live.url).port or 0)


@pytest.fixture(autouse=True)
def application(engine: str) -> Application:
    return Application.objects.create(
        client_id="an-id",
        client_secret=SECRET,
        client_type="confidential",
        authorization_grant_type="client-credentials",
    )


def test_endpoints_take_forms_with_and_without_slash_and_length(any_server: Server) -> None:
    body = urlencode(FORM | {"token": "x"}).encode()
    for path in ("/o/token", "/o/revoke_token", "/o/introspect"):
        for ending in ("/", ""):
            for chunked in (False, True):
                pieces: Any = iter([body[:7], body[7:]]) if chunked else body

                answer = any_server.ask("POST", path + ending, pieces, CONTENT_TYPE, chunked=chunked)

                assert answer.status == 200, (path, ending, chunked, answer)
    assert any_server.ask("POST", "/o/device-authorization", FORM).json() == {"error": "unauthorized_client"}


@pytest.mark.parametrize("charset", ["ISO-8859-1", "utf8", "utf-16", "utf-7", "nonsense"])
def test_forms_are_utf_8_whatever_charset_they_name(server: Server, charset: str) -> None:
    # Java's HttpClient 4 names ISO-8859-1.
    headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}

    assert server.ask("POST", "/o/token/", urlencode(FORM).encode(), headers).status == 200
    answer = server.ask("GET", "/o/introspect/?client_id=%00&token=x", b"", headers)
    assert answer.status == 400, answer


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


CHUNKED = b"POST /o/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"


BAD = [
    CHUNKED + b"\r\nx\r\n",
    CHUNKED + b"\r\n-5\r\nabcde\r\n0\r\n\r\n",
    CHUNKED + b"\r\nffffffffff\r\nabc",
    CHUNKED + b"\r\n5\r\nabc",
    CHUNKED + b"\r\n3\r\nabcdef\r\n0\r\n\r\n",
    CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n",
    CHUNKED.replace(b"chunked", b"gzip, chunked") + b"\r\n0\r\n\r\n",
    CHUNKED + b"\r\n" + b"100000\r\n" + b"x" * 0x100000 + b"\r\n" * 1 + b"0\r\n\r\n",
    CHUNKED + b"\r\n" + (b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 3 + b"0\r\n\r\n",
]


def test_bad_chunks_are_refused(any_server: Server) -> None:
    for request in BAD:
        answer = raw(any_server.port, request)

        assert answer == b"" or answer.split()[1][:1] == b"4", (request[:200], answer[:300])
