"""The package that the units put beside the project, as far as it can be tried without a host."""

import contextlib
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervised import journal, systemd

from project import ROOT

FILES = ROOT / "roles/systemd_units/files"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Listen where systemd would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_systemd_is_told_line_by_line(manager: socket.socket) -> None:
    systemd.notify("READY=1", "STATUS=at work")
    assert manager.recv(1000) == b"READY=1\nSTATUS=at work"


def test_a_child_process_tells_nothing(manager: socket.socket) -> None:
    child = os.fork()
    if child == 0:
        systemd.notify("READY=1")
        os._exit(0)
    os.waitpid(child, 0)
    manager.settimeout(0.2)
    with pytest.raises(TimeoutError):
        manager.recv(1000)


def test_nothing_happens_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")


def test_only_stopped_processes_are_killed() -> None:
    running, stopped = (subprocess.Popen(["/bin/sleep", "60"]) for _ in range(2))
    stopped.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 5
    killed: list[int] = []
    while not killed and time.monotonic() < deadline:
        killed = systemd.kill_if_stopped([running.pid, stopped.pid, 2**22 + 1])
    assert killed == [stopped.pid]
    assert stopped.wait(5) == -signal.SIGKILL
    assert running.poll() is None
    running.kill()
    running.wait(5)


@pytest.mark.parametrize(
    ("level", "mark"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<2>"),
        (logging.WARNING + 5, "<4>"),
    ],
)
def test_every_line_carries_its_priority(level: int, mark: str) -> None:
    record = logging.LogRecord("x", level, "", 0, "first\nsecond", None, None)
    assert journal.PriorityFormatter(None).format(record) == f"{mark}first\n{mark}second"


def test_lines_that_the_journal_does_not_read_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("x")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    journal.give_priorities(logger)
    logger.error("plain")
    assert capsys.readouterr().err == "plain\n"


def test_lines_for_the_journal_are_marked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w") as stream:
        state = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{state.st_dev}:{state.st_ino}")
        logger = logging.Logger("x")
        logger.addHandler(logging.StreamHandler(stream))
        journal.give_priorities(logger)
        journal.give_priorities(logger)
        logger.error("wrong")
    assert (tmp_path / "journal").read_text() == "<3>wrong\n"


def test_priorities_hold_when_logging_is_configured_again(tmp_path: Path) -> None:
    """In a process of its own, because logging is the process's."""
    code = """
import logging, logging.config, os
from supervised import journal
state = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{state.st_dev}:{state.st_ino}"
configuration = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"own": {"handlers": ["stderr"], "propagate": False}},
}
journal.keep_priorities()
for _ in range(2):
    logging.config.dictConfig(configuration)
    logging.getLogger("django").error("wrong")
    logging.getLogger("own").warning("odd")
"""
    with (tmp_path / "journal").open("w") as stream:
        subprocess.run(
            [sys.executable, "-c", code], check=True, stderr=stream, env={**os.environ, "PYTHONPATH": str(FILES)}
        )
    assert (tmp_path / "journal").read_text().splitlines() == ["<3>ERROR wrong", "<4>WARNING odd"] * 2


def test_gunicorn_finds_a_loadable_configuration() -> None:
    """In a process of its own, because the module changes what it configures."""
    environment = {**os.environ, "PYTHONPATH": str(FILES)}
    command: list[str | Path] = [
        Path(sys.executable).parent / "gunicorn",
        "--config",
        "python:supervised.gunicorn",
        "--print-config",
        "wsgiref.simple_server:demo_app",
    ]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=FILES, text=True)


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [
        ("127.0.0.0/8 ::1/128", "https 192.0.2.9"),
        ("192.0.2.0/24", "nothing 127.0.0.1"),
        ("", "nothing 127.0.0.1"),
        ("unix", "https 192.0.2.9"),
    ],
)
def test_only_a_proxy_may_say_how_the_client_came(proxies: str, seen: str, tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    seen = environ.get('HTTP_X_FORWARDED_PROTO', 'nothing'), environ['REMOTE_ADDR']\n"
        "    return [' '.join(seen).encode()]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--config", "python:supervised.gunicorn"),
            *("--bind", f"unix:{tmp_path}/socket" if proxies == "unix" else f"127.0.0.1:{port}", "echo"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{FILES}:{tmp_path}", "TRUSTED_PROXIES": proxies.removeprefix("unix")},
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                    if proxies == "unix":
                        connection.sock = socket.socket(socket.AF_UNIX)
                        connection.sock.connect(str(tmp_path / "socket"))
                    # The last one is what the proxy itself saw.
                    for last in ("192.0.2.9", "nonsense", "192.0.2.9"):
                        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": f"6.6.6.6, {last}"}
                        connection.request("GET", "/", headers=headers)
                        answer = connection.getresponse().read().decode()
                        assert answer == seen or last == "nonsense"
                break
            except (ConnectionRefusedError, FileNotFoundError):
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        server.terminate()
        server.wait()


def test_an_older_celery_without_remote_control_of_beat_can_be_run() -> None:
    code = "import celery.beat; del celery.beat.BeatPidbox; import supervised.celery"
    environment = {**os.environ, "PYTHONPATH": str(FILES)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
