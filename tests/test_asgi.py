"""The web process of an ASGI project, on loopback: who is believed what a proxy says, and what its log tells."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from web_process import serve

APP = """
import json
began = []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        began.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    names = [name.decode() for name, value in scope["headers"]]
    answer = json.dumps({"client": scope["client"][0], "headers": names, "began": began, "scheme": scope["scheme"]})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer.encode()})
"""
SAID = {"X-Forwarded-For": "203.0.113.1, 192.0.2.8", "X-Forwarded-Proto": "https", "Forwarded": "for=203.0.113.1"}
PROXY, STRANGER = "127.0.0.2", "127.0.0.3"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Serve with one process; return its port and its log."""
    options = ("--preload", "--worker-class", "supervised.asgi.Worker")
    with serve(tmp_path_factory.mktemp("asgi"), APP, *options, TRUSTED_PROXIES=f"{PROXY}/32") as server:
        yield server


def ask(port: int, source: str, path: str = "/") -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(source, 0))
    connection.request("GET", path, headers=SAID)
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_a_proxy_is_believed_the_address_that_it_saw(served: tuple[int, Path]) -> None:
    answer = ask(served[0], PROXY)
    assert answer["client"] == "192.0.2.8"
    assert "x-forwarded-proto" in answer["headers"]


def test_nobody_else_is(served: tuple[int, Path]) -> None:
    answer = ask(served[0], STRANGER)
    assert answer["client"] == STRANGER
    assert answer["scheme"] == "http"
    assert not {name.lower() for name in SAID} & set(answer["headers"])


def test_the_project_is_told_of_its_start(served: tuple[int, Path]) -> None:
    assert ask(served[0], STRANGER)["began"] == ["lifespan.startup"]


def test_queries_stay_out_of_the_log(served: tuple[int, Path]) -> None:
    ask(served[0], STRANGER, "/page?code=hunter2")
    # Where a machine has a journal, lines of requests go there.
    if not Path("/dev/log").exists():
        for _ in range(50):
            if "/page" in served[1].read_text():
                break
            time.sleep(0.1)
        assert "/page" in served[1].read_text()
    assert "hunter2" not in served[1].read_text()
