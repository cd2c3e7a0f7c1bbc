"""The proof that ends a deployment, as far as it needs no host: the page, and the words that it prints."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from project import ROOT, load_plugin

fixture = load_plugin("roles/periodic_tasks/filter_plugins/fixture.py")
managed_units = load_plugin("roles/common/library/managed_units.py")


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
    ("path", "said"),
    [
        ("/moved", "answers 301 and sends to https://example.org/"),
        ("/gone", "to a page that answers 200 without a login"),
    ],
)
def test_a_page_that_answers_otherwise_is_told(site: str, path: str, said: str) -> None:
    answer = ask(site + path)
    assert answer["seen"] == {"web": None}
    assert said in answer["why"]["web"]


GOOD = {"invocation": "w1", "origin": "gen42@one", "result": "succeeded", "seconds": 0.1, "failures": 0}


def ask_services(
    folder: Path, beat: dict[str, Any] | None, worker: dict[str, Any], says: str = "words of it", **question: Any
) -> Any:
    """Return what is seen of one entry, as it is noted; systemctl is a stand-in."""
    program = folder / "bin/systemctl"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"""#!/bin/sh
case $3 in *beat*) id=b1 pid=42 ;; *) id=w1 pid=43 ;; esac
printf 'ActiveState=active\\nInvocationID=%s\\nMainPID=%s\\nStatusText={says}\\n' $id $pid
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    for service, known in (("beat", beat), ("worker", worker)):
        path = folder / service / f"{hashlib.sha256(b'sweep').hexdigest()[:32]}.json"
        path.parent.mkdir()
        path.write_text(json.dumps(known), encoding="utf-8")
    asked = {name: {"unit": f"shop-{name}.service", "folder": str(folder / name)} for name in ("beat", "worker")}
    asked["worker"] = question.pop("workers", asked["worker"])
    if beat is None:
        del asked["beat"]
    command = [sys.executable, str(ROOT / "roles/periodic_tasks/files/prove.py")]
    environment = os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    said = subprocess.run(
        command,
        input=json.dumps({"seconds": 1, "entry": "sweep", "interval": 10} | asked | question),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return json.loads(said.stdout)


def test_a_run_of_these_processes_is_seen(tmp_path: Path) -> None:
    now = time.monotonic()
    answer = ask_services(tmp_path, {"invocation": "b1", "sent": 1, "uptime": now}, GOOD | {"uptime": now})
    assert answer["seen"]["beat"].startswith("beat sent it ")
    assert answer["seen"]["worker"].startswith("the worker ran it with success in 0.10 s")


@pytest.mark.parametrize(
    ("noted", "why"),
    [
        ({"invocation": "of the process before"}, "the worker has run nothing of it, is active and says: words of it"),
        # Sent by the beat of before, or by hand in the Admin.
        ({"origin": "gen41@one"}, "the worker's last run of it was sent by no beat that runs now"),
        ({"uptime": -30.0}, "the worker has run nothing of it"),
        ({"uptime": 3600.0}, "the worker has run nothing of it"),
        ({"uptime": "now"}, "the worker has run nothing of it"),
        ({"result": "failed", "error": "KeyError"}, "its last run: failed (KeyError)"),
        ({"result": "unknown"}, "its last run: unknown"),
        ({"result": "retried", "running": {"id": "1", "since": 5}}, "its run hasn't ended"),
    ],
)
def test_another_run_is_no_proof(tmp_path: Path, noted: dict[str, Any], why: str) -> None:
    age = noted.get("uptime", 0.0)
    uptime = time.monotonic() + age if isinstance(age, float) else age
    answer = ask_services(tmp_path, {"invocation": "b0", "sent": 1}, GOOD | noted | {"uptime": uptime})
    assert answer["seen"] == {"beat": None, "worker": None}
    assert answer["why"]["worker"].startswith(why)
    assert answer["why"]["beat"] == "beat is active and says: words of it"


@pytest.mark.parametrize(
    ("noted", "seen", "why"),
    [({}, "the worker ran it with success", None), ({"result": "unknown"}, None, "its last run: unknown")],
)
def test_any_worker_of_the_host_may_have_run_it(
    tmp_path: Path, noted: dict[str, Any], seen: str | None, why: str | None
) -> None:
    own = {"unit": "shop-mail.service", "folder": str(tmp_path / "worker")}
    first = {"unit": "shop-worker.service", "folder": str(tmp_path / "none"), "more": [own]}
    answer = ask_services(tmp_path, {}, GOOD | {"uptime": time.monotonic()} | noted, workers=first)
    assert str(answer["seen"]["worker"]).startswith(str(seen))
    assert answer["why"]["worker"] == why


def test_a_worker_knows_beat_on_another_host_by_its_process(tmp_path: Path) -> None:
    worker = GOOD | {"uptime": time.monotonic(), "origin": "gen7@two"}
    answer = ask_services(tmp_path, None, worker, beat_processes=["6", "7"])
    assert answer["seen"].keys() == {"worker"}
    assert answer["seen"]["worker"]


def test_a_beat_on_standby_is_neither_waited_for_nor_seen(tmp_path: Path) -> None:
    worker = GOOD | {"uptime": time.monotonic(), "origin": "gen7@two"}
    started = time.monotonic()
    answer = ask_services(
        tmp_path, {}, worker, "standby, because another beat is active", beat_processes=["7"], seconds=60
    )
    assert time.monotonic() - started < 30
    assert answer["seen"]["worker"]
    assert not answer["seen"]["beat"]


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


def test_the_journal_of_a_unit_that_fails_to_start_is_printed_likewise() -> None:
    shown = managed_units.printable("\x1b[31merror\x1b[0m in \x1b]0;title\x07 \u202etfel")
    assert shown == "error in ?]0;title? ?tfel"
