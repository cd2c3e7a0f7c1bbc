"""What the worker notes of the runs of the schedule's entries: real workers, a broker in memory."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals
from celery.contrib.testing.worker import start_worker
from supervised import runs
from supervised.celery import noted_runs

SIGNALS = [signal for name, signal in vars(signals).items() if name.startswith(("task_", "after_task_"))]


class SecretError(Exception):
    """An exception whose words nobody must see."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Note what happens here, as in a unit; what listened before listens again afterwards."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("INVOCATION_ID", "this process")
    before = [(signal, list(signal.receivers)) for signal in SIGNALS]
    runs.watch_worker()
    runs.watch_beat()
    yield tmp_path
    for signal, receivers in before:
        signal.receivers[:] = receivers


@pytest.fixture
def app() -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(task_always_eager=False, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)

    @app.task(name="shop.works", shared=False)
    def works() -> None:
        """Do nothing."""

    @app.task(name="shop.fails", shared=False)
    def fails() -> None:
        raise SecretError("hunter2")

    @app.task(name="shop.is_unsure", shared=False, bind=True, max_retries=1)
    def is_unsure(self: Any) -> None:
        raise self.retry(exc=SecretError("hunter2"), countdown=0)

    return app


def noted(folder: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return {known["entry"]: known for known in found}


def noted_when(folder: Path, entry: str, result: str, failures: int = 0) -> dict[str, Any]:
    """Return what is noted of the entry once its last run has ended so."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        known = noted(folder).get(entry, {})
        if (known.get("result"), known.get("failures", 0)) == (result, failures):
            return known
        time.sleep(0.05)
    raise AssertionError(noted(folder))


def test_each_entry_has_a_result_of_its_own_although_they_share_a_task(folder: Path, app: Celery) -> None:
    good, bad = {"periodic_task_name": "good"}, {"periodic_task_name": "bad"}
    before = time.time()
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        app.send_task("shop.works", headers=good)
        app.send_task("shop.fails", headers={"periodic_task_name": "fails"})
        app.send_task("shop.fails", headers={"periodic_task_name": "fails"})
        app.send_task("shop.works", kwargs={"wrong": 1}, headers=bad)
        known = noted_when(folder, "good", "succeeded")
        failed = noted_when(folder, "fails", "failed", failures=2)
        wrong = noted_when(folder, "bad", "failed", failures=1)
    assert (known["task"], known["failures"], known["running"], known["error"]) == ("shop.works", 0, None, None)
    assert before <= known["sent"] <= known["succeeded"] == known["ended"] <= time.time()
    assert 0 <= known["seconds"] < 10
    assert (known["invocation"], known["origin"].partition("@")[0]) == ("this process", f"gen{os.getpid()}")
    assert (failed["error"], wrong["error"]) == ("SecretError", "TypeError")
    assert "hunter2" not in "".join(path.read_text() for path in folder.iterdir())


def test_what_never_became_a_run_is_told_apart(folder: Path, app: Celery) -> None:
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        app.send_task("shop.renamed", headers={"periodic_task_name": "stale"})
        app.send_task("shop.works", expires=-1, headers={"periodic_task_name": "late"})
        app.send_task("shop.is_unsure", headers={"periodic_task_name": "unsure"})
        assert noted_when(folder, "stale", "unknown")["task"] == "shop.renamed"
        noted_when(folder, "late", "expired")
        assert noted_when(folder, "unsure", "failed", failures=1)["error"] == "SecretError"


def test_a_run_that_its_main_process_ends_is_found_by_its_id(folder: Path) -> None:
    app = Celery("shop", set_as_current=False)
    runs.note("slow", running={"id": "some id", "since": time.time() - 5})
    runs.note("other", running={"id": "another id", "since": time.time()})
    runs.fails(app.tasks["celery.map"], "some id", TimeoutError())
    known = noted(folder)["slow"]
    assert (known["result"], known["error"], known["running"]) == ("failed", "TimeoutError", None)
    assert known["seconds"] >= 5
    assert noted(folder)["other"]["running"]["id"] == "another id"


def test_what_beat_did_not_send_and_what_is_no_unit_leaves_nothing(
    folder: Path, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        app.send_task("shop.works")
        app.send_task("shop.works", headers={"periodic_task_name": ["odd"]})
        app.send_task("shop.works", headers={"periodic_task_name": "last"})
        noted_when(folder, "last", "succeeded")
    assert set(noted(folder)) == {"last"}
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    runs.note("outside", sent=1)
    assert set(noted(folder)) == {"last"}


def test_names_that_are_used_once_do_not_fill_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_ENTRIES", 10)
    for number in range(100):
        runs.note(f"once {number}", sent=number)
        runs.note("always", sent=number)
    known = noted(folder)
    assert len(list(folder.iterdir())) <= 11
    assert known["always"]["sent"] == known["once 99"]["sent"] == 99


def test_a_folder_that_is_gone_stops_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder / "gone"))
    runs.note("an entry", sent=1.0)
    assert runs.read_all() == []


def test_a_worker_answers_what_it_has_noted(folder: Path, app: Celery) -> None:
    runs.note("sweep", task="shop.works", sent=5)
    assert noted_runs.__name__ == "noted_runs"  # Celery knows it by its import
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        answers = app.control.broadcast("noted_runs", reply=True, timeout=10, limit=1)
    assert [list(answer.values()) for answer in answers or []] == [[[noted(folder)["sweep"]]]]
