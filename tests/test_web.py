"""The web process under clients that take their time, on loopback: gunicorn with the units' configuration."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from web_process import serve

APP = """
def app(environ, start):
    answers = {"/large": b"x" * 300_000, "/huge": b"x" * 4_000_000}
    answer = answers.get(environ["PATH_INFO"]) or str(len(environ["wsgi.input"].read())).encode()
    start("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n\r\n"
SLOW = {
    "nothing": b"",
    "half a line": b"GE",
    "half a head": GET % b"",
    "half a body": POST + b"Content-Length: 100000\r\n\r\nabc",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "a body that is to be asked for": POST + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    "one and a half requests": GET % b"" + b"\r\n" + GET % b"",
    "a request without reading the answer": GET % b"large" + b"\r\n",
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve with one process of four threads."""
    with serve(tmp_path_factory.mktemp("web"), APP, "--threads", "4") as (port, _):
        yield port


def connect(port: int, request: bytes = b"") -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    client.sendall(request)
    return client


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_slow_clients_take_no_thread_and_are_ended(port: int) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(port, request)) for request in SLOW.values() for _ in range(50)]
        time.sleep(1)
        for _ in range(5):
            began = time.monotonic()
            assert ask(port, GET % b"" + CLOSE).endswith(b"0")
            assert time.monotonic() - began < 3

        began = time.monotonic()
        for client in slow[: 50 * 4]:
            assert b"200" not in client.recv(100)
        assert 10 < time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (POST + b"Content-Length: 5\r\n" + CLOSE + b"abcde", b"5"),
        (POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"5\r\nabcde\r\n0\r\n\r\n", b"5"),
        (POST + b"Content-Length: 3000000\r\n" + CLOSE + b"a" * 3_000_000, b"3000000"),
        (GET % b"huge" + CLOSE, b"x" * 4_000_000),
        (GET % b"" + b"\r\n" + GET % b"" + CLOSE, b"0"),
        (b"nonsense\r\n\r\n", b"</html>\n"),
    ],
)
def test_whole_requests_are_answered(port: int, request_: bytes, end: bytes) -> None:
    assert ask(port, request_).endswith(end)


def test_endless_head_is_refused(port: int) -> None:
    with connect(port) as client, pytest.raises(OSError, match=r"reset|pipe"):
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000_000)


def test_half_a_request_whose_client_has_gone_does_not_reach_the_app(port: int) -> None:
    with connect(port, POST + b"Content-Length: 5\r\n\r\nab") as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    with connect(port, GET % b"" + CLOSE) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_request_may_come_byte_by_byte(port: int) -> None:
    with connect(port) as client:
        for byte in POST + b"Content-Length: 3\r\n" + CLOSE + b"abc":
            client.sendall(bytes([byte]))
            time.sleep(0.01)
        assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"3")


def test_client_that_expects_it_is_told_to_go_on(port: int) -> None:
    with connect(port, POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n" + CLOSE) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"abc")
        assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"3")


def test_connection_is_kept(port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.connect()
    first = client.sock
    for _ in range(3):
        client.request("POST", "/", b"abc")
        assert client.getresponse().read() == b"3"
        time.sleep(0.2)
    assert client.sock is first
    client.close()
