"""The proof that ends a deployment, as far as it needs no host: the page, and the words that it prints."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from project import ROOT, load_plugin

fixture = load_plugin("roles/periodic_tasks/filter_plugins/fixture.py")


class Page(BaseHTTPRequestHandler):
    """Answers /healthz, and sends from /moved to there."""

    def do_GET(self) -> None:
        self.send_response({"/healthz": 200, "/moved": 301}.get(self.path, 404))
        self.send_header("Location", "https://example.org/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(url: str, environment: dict[str, str] | None = None) -> Any:
    question = {"seconds": 1, "entry": "", "interval": 0, "web": {"url": url, "headers": {"Host": "localhost"}}}
    command = [sys.executable, str(ROOT / "roles/periodic_tasks/files/prove.py")]
    asked = subprocess.run(
        command, input=json.dumps(question), capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(asked.stdout)


def test_a_page_of_this_host_is_not_asked_through_a_proxy(site: str) -> None:
    proxies = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")}
    assert ask(f"{site}/healthz", proxies)["seen"] == {"web": f"{site}/healthz answers 200"}


@pytest.mark.parametrize(
    ("path", "said"), [("/moved", "answers 301 and sends to https://example.org/"), ("/gone", "answers 404")]
)
def test_a_page_that_answers_otherwise_is_told(site: str, path: str, said: str) -> None:
    answer = ask(site + path)
    assert answer["seen"] == {"web": None}
    assert said in answer["why"]["web"]


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("clear stale tokens", "clear stale tokens"),
        ("Räum auf ✓ 掃除", "Räum auf ✓ 掃除"),
        ("\x1b[32mgreen\x1b[0m", "?[32mgreen?[0m"),
        ("\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?"),
        ("two\nlines\r", "two?lines?"),
        ("right \u202etfel", "right ?tfel"),
        ("\x9b31mC1", "?31mC1"),
    ],
)
def test_a_name_is_printed_without_what_a_terminal_obeys(name: str, printed: str) -> None:
    assert fixture.printable(name) == printed
