"""What the status makes of the facts: rules and words, tried without a host."""

from typing import Any

import pytest

from project import load_plugin

problems = load_plugin("roles/monitoring/files/status/problems.py")
screen = load_plugin("roles/monitoring/files/status/screen.py")
journals = load_plugin("roles/monitoring/files/status/journals.py")

NOW = 1_800_000_000.0
SETTINGS: dict[str, Any] = {
    "app": "shop",
    "services": ["rabbitmq", "web", "worker", "beat"],
    "worker_hosts": 1,
    "successes_logged": True,
    "late_tokens_minutes": 10,
    "old_backup_hours": 26,
}


def unit(service: str, **other: Any) -> dict[str, Any]:
    return {
        "name": f"shop-{service}.service",
        "service": service,
        "installed": True,
        "state": "active",
        "detail": "running",
        "since": NOW - 3600,
        "restarts": 0,
        "says": "",
        "fed_watchdog": NOW - 1,
        "memory": None,
        "exposure": None,
    } | other


def task(**other: Any) -> dict[str, Any]:
    return {
        "name": "sweep",
        "task": "shop.tasks.sweep",
        "enabled": True,
        "schedule": "every 10 seconds",
        "interval": 10.0,
        "sent": NOW - 5,
        "next": NOW + 5,
        "result": "succeeded",
        "ended": NOW - 5,
        "seconds": 0.1,
        "error": None,
        "succeeded": NOW - 5,
        "failures": 0,
    } | other


def facts(**other: Any) -> dict[str, Any]:
    return {
        "app": "shop",
        "at": NOW,
        "units": [unit(service) for service in SETTINGS["services"]],
        "failed_checks": {},
        "release": {"current": "abc", "since": NOW - 7200, "kept": 2},
        "project_error": None,
        "web": {"url": "http://127.0.0.1:8000/healthz", "status": 200},
        "database": {"answers": True, "vendor": "sqlite", "pending": [], "writable": True},
        "broker": {"answers": True, "alarms": [], "login": True, "app_queues": ["sweeping"], "queues": []},
        "disks": [{"path": "/var/lib/shop", "size": 2**40, "free": 2**36}],
        "backup": {"made": None, "timer_since": None, "failed": False},
        "tasks": [task()],
        "expired_tokens": {"count": 0, "more": False, "oldest": None},
    } | other


def told(settings: dict[str, Any] = SETTINGS, **other: Any) -> list[tuple[int, str]]:
    return [(problem.level, problem.what) for problem in problems.find_problems(facts(**other), settings)]


def test_nothing_is_wrong_with_a_healthy_host() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("late", "level"), [(5, None), (90, None), (91, 1), (600, 1), (601, 2)], ids=lambda value: str(value)
)
def test_a_task_without_a_good_run_is_late_after_three_intervals_and_a_minute(late: float, level: int | None) -> None:
    found = told(tasks=[task(succeeded=NOW - late)])
    assert [problem[0] for problem in found] == ([level] if level else [])


@pytest.mark.parametrize(
    "other",
    [
        {"settings": SETTINGS | {"worker_hosts": 2}},
        {"settings": SETTINGS | {"successes_logged": False}},
        {"settings": SETTINGS | {"services": ["worker"]}},
        {"units": [unit("worker", since=NOW - 30), unit("beat")]},
        {"tasks": [task(succeeded=None, interval=86400.0)]},
        {"tasks": [task(succeeded=None, enabled=False)]},
    ],
)
def test_a_run_that_this_host_cannot_know_of_is_not_missed(other: dict[str, Any]) -> None:
    assert told(**({"tasks": [task(succeeded=None)]} | other)) == []


def test_one_failure_is_a_warning_and_three_are_critical() -> None:
    failed = {"result": "failed", "error": "KeyError"}
    assert told(tasks=[task(**failed, failures=1)]) == [(1, "sweep failed at its last run (KeyError)")]
    assert told(tasks=[task(**failed, failures=3)]) == [(2, "sweep failed 3 times in a row or more (KeyError)")]


@pytest.mark.parametrize(
    ("count", "consumers", "name", "level"),
    [
        (100, 1, "sweeping", None),
        (101, 1, "sweeping", 1),
        (1001, 1, "sweeping", 2),
        (0, 0, "sweeping", 2),
        (1, 0, "kept", None),
    ],
)
def test_a_queue_may_wait_but_not_pile_up_or_be_alone(count: int, consumers: int, name: str, level: int | None) -> None:
    queues = [{"name": name, "messages": count, "consumers": consumers}]
    broker = {"answers": True, "alarms": [], "login": True, "app_queues": ["sweeping"], "queues": queues}
    assert [problem[0] for problem in told(broker=broker)] == ([level] if level else [])


def test_an_alarm_comes_before_what_follows_from_it() -> None:
    broker = {"answers": True, "alarms": ["disk"], "login": True, "app_queues": [], "queues": []}
    found = told(broker=broker, tasks=[task(succeeded=NOW - 1000)])
    assert [what.split()[0] for _, what in found] == ["the", "sweep"]


@pytest.mark.parametrize(("free", "level"), [(2**31, None), (2**31 - 1, 1), (2**29, 1), (2**29 - 1, 2)])
def test_a_disk_is_judged_by_what_is_free(free: int, level: int | None) -> None:
    disks = [{"path": "/var/lib/shop", "size": 2**40, "free": free}]
    assert [problem[0] for problem in told(disks=disks)] == ([level] if level else [])


HOUR = 3600


@pytest.mark.parametrize(
    ("made", "timer_since", "failed", "warned"),
    [
        (None, None, False, False),
        (None, 25 * HOUR, False, False),
        (None, 27 * HOUR, False, True),
        (25 * HOUR, 90 * HOUR, False, False),
        (27 * HOUR, 90 * HOUR, False, True),
        (27 * HOUR, None, False, False),
        (1 * HOUR, 90 * HOUR, True, True),
    ],
)
def test_a_backup_is_missed_only_while_its_timer_is_on(
    made: int | None, timer_since: int | None, failed: bool, warned: bool
) -> None:
    backup = {
        "made": made and NOW - made,
        "timer_since": timer_since and NOW - timer_since,
        "failed": failed,
    }
    assert [problem[0] for problem in told(backup=backup)] == ([1] if warned else [])


def test_a_recent_restart_is_a_warning_and_an_old_one_is_none() -> None:
    def restarted(seconds: float) -> list[tuple[int, str]]:
        return told(units=[unit("beat", restarts=2, since=NOW - seconds)], tasks=[])

    assert restarted(60) == [(1, "shop-beat.service was restarted 2 times, last 60 s ago")]
    assert restarted(601) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200000, "2 d")],
)
def test_an_age_is_told_in_a_persons_unit(seconds: float, words: str) -> None:
    assert screen.age(seconds) == words


def test_columns_are_aligned() -> None:
    assert list(screen.table([["a", "1"], ["long", "22"]], right=(1,))) == ["a      1", "long  22"]


def test_a_name_cannot_write_on_the_terminal() -> None:
    shown = facts(tasks=[task(name="\x1b[2Jsweep\n")], units=[], broker={})
    shown["backup"] |= {"newest": None, "count": 0}
    assert "?[2Jsweep?" in screen.screen(shown)


@pytest.mark.parametrize(
    ("line", "task", "error"),
    [
        ("Task shop.tasks.sweep[8b1] succeeded in 0.05402335899998434s: None", "shop.tasks.sweep", None),
        ("Task shop.tasks.sweep[8b1] raised unexpected: KeyError('a secret')", "shop.tasks.sweep", "KeyError"),
        # An exception that writes itself in another way.
        (
            "Task shop.tasks.sweep[8b1] raised unexpected: Task of kind 'x' never registered",
            "shop.tasks.sweep",
            "see its journal",
        ),
        ("Hard time limit (330.0s) exceeded for shop.tasks.sweep[8b1]", "shop.tasks.sweep", "TimeLimitExceeded"),
    ],
)
def test_the_end_of_a_run_is_read_from_its_line(line: str, task: str, error: str | None) -> None:
    match = journals.ENDED.search(f"[INFO/ForkPoolWorker-1] {line}")
    result: dict[str, Any] = {}
    journals.note_end(result, NOW, match)
    assert (match["task"] or match["late"], result["error"]) == (task, error)
    assert result["failures"] == (1 if error else 0)
