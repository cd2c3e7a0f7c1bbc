"""Celery beat as the units run it: django-celery-beat's scheduler with what `supervised` mixes in.

The broker is kombu's own in memory; what only RabbitMQ does is tried by the scenarios on hosts.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import AMQPError, FrameError, InternalError, MessageNacked, NotFound, PreconditionFailed
from celery import Celery
from django.db import OperationalError, connections
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)
from django_celery_beat.schedulers import DatabaseScheduler
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kombu import Producer
from supervised import beat

from .conftest import APP, both_engines_for_real
from .postgresql import postgresql

TASK = "tutorial.tasks.clear_sessions"


@pytest.fixture
def celery_app(celery_app: Celery, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """The project's app, with a broker in this process, which sends back no message that it can't deliver."""
    monkeypatch.setattr(beat.LeaderLock, "taken", lambda *_: False)
    kept = celery_app.conf.broker_url
    celery_app.conf.update(broker_url="memory://")
    celery_app.loader.import_default_modules()
    yield celery_app
    celery_app.conf.update(broker_url=kept)


Start = Callable[[], Any]


@pytest.fixture
def start(celery_app: Celery) -> Iterator[Start]:
    """Start schedulers as `celery beat --scheduler django_celery_beat.schedulers:DatabaseScheduler` does."""
    started: list[Any] = []

    def start() -> Any:  # noqa: ANN401  # its class is made at run time
        service = beat.Service(
            celery_app, scheduler_cls="django_celery_beat.schedulers:DatabaseScheduler", remote_control=False
        )
        scheduler: Any = service.scheduler
        started.append(scheduler)
        return scheduler

    with closing(celery_app.connection_for_write()) as connection:
        channel: Any = connection.default_channel
        for queue in ("celery", "maintenance"):
            celery_app.amqp.queues[queue](channel).declare()
            channel.queue_purge(queue)
    yield start
    for scheduler in started:
        scheduler.close()
        scheduler.lock.release()


def row(name: str = "row", **fields: object) -> PeriodicTask:
    """Write a row that is due at once, past every check of the Admin."""
    if not fields.keys() & {"interval", "crontab", "solar", "clocked"}:
        fields["interval"], _ = IntervalSchedule.objects.get_or_create(every=10, period="seconds")
    [made] = PeriodicTask.objects.bulk_create([PeriodicTask(**{"name": name, "task": TASK} | fields)])
    PeriodicTask.objects.filter(pk=made.pk).update(date_changed=datetime(2026, 1, 1, tzinfo=UTC))
    PeriodicTasks.update_changed()
    return PeriodicTask(pk=made.pk)


def run(scheduler: Any) -> list[str]:  # noqa: ANN401  # as above
    """Let a scheduler tick until nothing is due; return the names of the rows that it sent."""
    for _ in range(100):
        if scheduler.tick() > 0:
            break
    sent = []
    with closing(scheduler.app.connection_for_write()) as connection:
        for queue in ("celery", "maintenance"):
            while message := connection.default_channel.basic_get(queue, no_ack=True):
                sent.append(
                    connection.default_channel.message_to_python(message).headers["periodic_task_name"]
                )
    return sorted(sent)


def interval(every: int, period: str = "seconds") -> dict[str, Any]:
    return {"interval": IntervalSchedule.objects.create(every=every, period=period)}


def crontab(**fields: str) -> dict[str, Any]:
    zone = fields.pop("timezone", "UTC")
    made = CrontabSchedule.objects.create(**fields)
    with connections[made._state.db].cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_beat_crontabschedule SET timezone = %s WHERE id = %s", [zone, made.pk]
        )
    return {"crontab_id": made.pk, "crontab": None, "interval": None}


# What makes a row unreadable: its fields, and a word of the reason.
UNREADABLE: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "headers null": (lambda: {"headers": "null"}, "headers"),
    "headers list": (lambda: {"headers": "[]"}, "headers"),
    "headers number": (lambda: {"headers": "5"}, "headers"),
    "headers text": (lambda: {"headers": '"abc"'}, "headers"),
    "headers no JSON": (lambda: {"headers": "{"}, "headers"),
    "headers of celery": (lambda: {"headers": '{"id": 5}'}, "Celery's own"),
    "headers infinite": (lambda: {"headers": '{"a": [{"b": -Infinity}]}'}, "finite"),
    "headers not a number": (lambda: {"headers": '{"a": NaN}'}, "finite"),
    "headers that no frame holds": (lambda: {"headers": json.dumps({"a": "x" * 130_000})}, "longer than"),
    "headers deep": (lambda: {"headers": '{"a":' + "[" * 5000 + "]" * 5000 + "}"}, "headers"),
    "headers too large a number": (lambda: {"headers": json.dumps({"x": 2**70})}, ""),
    "headers long name": (lambda: {"headers": json.dumps({"x" * 300: 1})}, ""),
    "args no JSON": (lambda: {"args": "[1"}, "args"),
    "args text": (lambda: {"args": '"abc"'}, "args"),
    "args null": (lambda: {"args": "null"}, "args"),
    "args object": (lambda: {"args": "{}"}, "args"),
    "args deep": (lambda: {"args": "[" * 100_000}, "args"),
    "args strange type": (lambda: {"args": '[{"__type__": "datetime", "__value__": "x"}]'}, "args"),
    "args too many": (lambda: {"args": "[1, 2, 3]"}, "argument"),
    "kwargs no JSON": (lambda: {"kwargs": "{'a': 1}"}, "kwargs"),
    "kwargs list": (lambda: {"kwargs": "[]"}, "kwargs"),
    "kwargs number": (lambda: {"kwargs": "0"}, "kwargs"),
    "kwargs unknown": (lambda: {"kwargs": '{"a": 1}'}, "argument"),
    "solar without ephem": (
        lambda: {"solar": SolarSchedule.objects.create(event="sunset", latitude=50, longitude=8)},
        "solar",
    ),
    "crontab broken": (lambda: crontab(minute="61"), "crontab"),
    "crontab words": (lambda: crontab(hour="noon"), "crontab"),
    "crontab never": (lambda: crontab(day_of_month="31", month_of_year="2"), "crontab"),
    "crontab timezone": (lambda: crontab(timezone="Mars/Olympus"), "Mars"),
    "no schedule": (lambda: {"interval": None}, "exactly one"),
    "two schedules": (
        lambda: interval(20) | {"crontab": CrontabSchedule.objects.create(minute="1")},
        "exactly one",
    ),
    "interval negative": (lambda: interval(-5), "interval"),
    "interval zero": (lambda: interval(0), "interval"),
    "interval endless": (lambda: interval(2**31 - 1, "days"), "interval"),
    "interval beyond all years": (lambda: interval(900_000_000, "days"), "interval"),
    "interval of no period": (lambda: interval(5, "fortnights"), "interval"),
    "priority": (lambda: {"priority": 300}, "priority"),
    "expires after 50 days": (lambda: {"expire_seconds": 50 * 24 * 3600}, "expire_seconds"),
    "both expiries": (lambda: {"expires": timezone.now() + timedelta(days=1), "expire_seconds": 5}, "expire"),
    "queue too long": (lambda: {"queue": "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 200}, "queue"),
    "exchange with control characters": (lambda: {"exchange": "a\nb"}, "exchange"),
    "name with control characters": (lambda: {"name": "x\x1b[2J\n<2>fake"}, "name"),
    "task with control characters": (lambda: {"task": "x\ny"}, "task"),
    "no task": (lambda: {"task": ""}, "task"),
}


@both_engines_for_real
def test_rows_that_cannot_be_read_stop_no_other(
    engine: str, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    row("fine")
    bad = {case: row(**{"name": case} | fields()).pk for case, (fields, _) in UNREADABLE.items()}
    names = {case: PeriodicTask.objects.values_list("name", flat=True).get(pk=pk) for case, pk in bad.items()}

    scheduler = start()
    sent = run(scheduler)
    # Another reading of all rows, as an edit or five minutes bring it.
    PeriodicTasks.update_changed()
    sent += run(scheduler)

    assert sent == ["fine"]
    problems = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(problems) == len(bad), problems
    for case, (_, word) in UNREADABLE.items():
        [problem] = [text for text in problems if f"Row {names[case]!r} " in text]
        assert word in problem
        assert problem.isprintable()
        assert names[case] in scheduler.skipped
    assert f"skipped {len(bad)}: " in scheduler.status(1)
    assert scheduler.status(1).isprintable()
    # Nothing of the rows was touched, and they work when they are corrected, without a restart.
    assert PeriodicTask.objects.filter(enabled=True, last_run_at=None).count() == len(bad)
    for case, pk in bad.items():
        PeriodicTask.objects.filter(pk=pk).update(
            name=case, task=TASK, args="[]", kwargs="{}", headers="{}", priority=None, expires=None,
            expire_seconds=None, queue=None, exchange=None, crontab=None, solar=None,
            interval=IntervalSchedule.objects.get(every=10, period="seconds"),
        )  # fmt: skip
    PeriodicTasks.update_changed()
    assert run(scheduler) == sorted(bad)
    assert "skipped" not in scheduler.status(1)


@both_engines_for_real
def test_row_that_cannot_be_sent_is_logged_once(
    engine: str, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    row("fine", **interval(1))
    row("bad", **interval(1), queue=f"nowhere {engine}")
    scheduler = start()
    monkeypatch.setattr(scheduler.app.amqp.queues, "create_missing", False)

    sent = run(scheduler)
    time.sleep(1.1)
    sent += run(scheduler)

    assert sent == ["fine", "fine"]
    [problem] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert "'bad'" in problem
    assert "nowhere" in problem
    assert "'bad'" in scheduler.status(1)
    # It is tried again when the schedule is read again, also if the row wasn't at fault.
    monkeypatch.setattr(scheduler.app.amqp.queues, "create_missing", True)
    PeriodicTasks.update_changed()
    run(scheduler)
    assert "'bad'" not in scheduler.status(1)
    assert PeriodicTask.objects.get(name="bad").total_run_count == 2


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"headers": '{"CC": "x"}'}, PreconditionFailed),
        ({"headers": '{"a": 1}'}, FrameError),
        ({"headers": '{"a": 1}'}, InternalError),
        ({"args": json.dumps(["x" * 2**20]), "task": "some.task"}, PreconditionFailed),
        ({"kwargs": json.dumps({"a": "x" * 2**20}), "task": "some.task"}, PreconditionFailed),
        ({"exchange": "nowhere"}, NotFound),
    ],
)
def test_row_that_the_broker_refuses_costs_no_other_its_run(
    transactional_db: None,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    refusal: type[AMQPError],
) -> None:
    for name in ("a fine one", "b bad", "c fine one"):
        row(name, **(fields if "bad" in name else {}))
    scheduler = start()
    closed: list[Any] = []
    publish = Producer.publish

    def refuse(producer: Any, body: object, headers: dict[str, Any], **options: Any) -> object:  # noqa: ANN401
        """As RabbitMQ does: at once where answers are waited for, else with what is sent next."""
        bad = headers["periodic_task_name"] == "b bad"
        answers = producer.connection.transport_options.get("confirm_publish")
        if producer.connection in closed or (bad and answers):
            raise refusal("refused", (0, 0), "", refusal.code)
        if bad:
            closed.append(producer.connection)
        return publish(producer, body, headers=headers, **options)

    monkeypatch.setattr(Producer, "publish", refuse)

    assert run(scheduler) == ["a fine one", "c fine one"]
    assert list(scheduler.skipped) == ["b bad"]
    monkeypatch.undo()
    PeriodicTasks.update_changed()
    run(scheduler)
    assert scheduler.skipped == {}


def test_count_that_is_no_number_stops_no_other(transactional_db: None, start: Start) -> None:
    """SQLite takes any text for a number."""
    row("fine")
    row("bad")
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_periodictask SET total_run_count = 'x' WHERE name = 'bad'")
    scheduler = start()
    assert run(scheduler) == ["fine"]
    assert scheduler.skipped == {"bad": "total_run_count: must be a number"}


texts = st.text(max_size=12) | st.sampled_from(
    ["null", "[]", "{}", "5", '"a"', "[1]", '{"a": 1}', '{"eta": "x"}', "*", "*/0", "1-0", "NaN", ""]
)
numbers = st.integers(min_value=-(2**31), max_value=2**31 - 1)
garbage = st.fixed_dictionaries(
    {},
    optional={
        "args": texts,
        "kwargs": texts,
        "headers": texts,
        "queue": texts,
        "exchange": texts,
        "routing_key": texts,
        "task": texts,
        "priority": st.integers(0, 32767),
        "expire_seconds": st.integers(0, 2**31 - 1),
        "expires": st.datetimes(datetime(1971, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC)),
        "start_time": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
        "last_run_at": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
        "total_run_count": st.integers(0, 2**31 - 1),
        "one_off": st.booleans(),
        "interval": st.builds(
            IntervalSchedule, every=numbers, period=st.sampled_from(["days", "seconds", "x"])
        ),
        "crontab": st.builds(
            CrontabSchedule, minute=texts, hour=texts, day_of_month=texts, month_of_year=texts
        ),
        "clocked": st.builds(
            ClockedSchedule,
            clocked_time=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
        ),
        "solar": st.builds(
            SolarSchedule, event=texts, latitude=st.integers(-999, 999), longitude=st.integers(-999, 999)
        ),
    },
)


@both_engines_for_real
def test_no_garbage_stops_beat(engine: str, start: Start) -> None:
    @given(rows=st.lists(garbage, min_size=1, max_size=4))
    @hypothesis_settings(max_examples=30)
    def holds(rows: list[dict[str, Any]]) -> None:
        PeriodicTask.objects.all().delete()
        row("fine")
        for number, fields in enumerate(rows):
            with suppress(Exception):  # what the database refuses can't come from it either
                for name in ("interval", "crontab", "clocked", "solar"):
                    if name in fields:
                        fields[name].pk = None
                        fields[name].save()
                row(f"bad {number}", **fields)
        scheduler = start()

        assert "fine" in run(scheduler)
        scheduler.lock.release()

    holds()


@both_engines_for_real
class TestClockThatWasSetBack:
    def test_runs_in_the_future_are_corrected_in_the_database(self, engine: str, start: Start) -> None:
        hour = IntervalSchedule.objects.create(every=1, period="hours")
        past = row("past", interval=hour, last_run_at=timezone.now() - timedelta(minutes=30))
        future = row("future", interval=hour, last_run_at=timezone.now() + timedelta(days=2))
        before = PeriodicTask.objects.get(pk=past.pk).last_run_at

        assert run(start()) == []

        assert PeriodicTask.objects.get(pk=past.pk).last_run_at == before
        corrected = PeriodicTask.objects.get(pk=future.pk).last_run_at
        assert abs(timezone.now() - corrected) < timedelta(minutes=1)

    def test_correction_outlives_a_further_reading(self, engine: str, start: Start) -> None:
        hour = IntervalSchedule.objects.create(every=1, period="hours")
        row("future", interval=hour, last_run_at=timezone.now() + timedelta(days=2))
        scheduler = start()
        run(scheduler)
        PeriodicTasks.update_changed()  # an edit of any row
        run(scheduler)

        assert scheduler.schedule["future"].schedule.remaining_estimate(
            scheduler.schedule["future"].last_run_at
        ) <= timedelta(hours=1)

    def test_first_edit_is_noticed(self, engine: str, start: Start) -> None:
        row("old", last_run_at=timezone.now())
        PeriodicTasks.objects.update(last_update=timezone.now() + timedelta(days=2))
        scheduler = start()
        run(scheduler)

        row("new")

        assert run(scheduler) == ["new"]

    def test_it_is_noticed_while_beat_runs(
        self, engine: str, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fine = row("fine")
        scheduler = start()
        assert run(scheduler) == ["fine"]
        # As if that had happened by a clock two days ahead.
        PeriodicTask.objects.filter(pk=fine.pk).update(last_run_at=timezone.now() + timedelta(days=2))
        scheduler.ticked += 2 * 24 * 3600

        run(scheduler)

        assert PeriodicTask.objects.get(pk=fine.pk).last_run_at <= timezone.now()


@both_engines_for_real
class TestWhatRanLast:
    def test_it_is_in_the_database_before_the_message_is_sent(
        self, engine: str, start: Start, celery_app: Celery
    ) -> None:
        fine = row("fine")
        scheduler = start()
        seen = []

        class Died(BaseException):
            """What a kill does: nothing after it is done."""

        def die(**_: object) -> None:
            seen.append(PeriodicTask.objects.get(pk=fine.pk).last_run_at)
            raise Died

        from celery.signals import before_task_publish

        before_task_publish.connect(die)
        try:
            with pytest.raises(Died):
                run(scheduler)
        finally:
            before_task_publish.disconnect(die)

        assert seen[0]
        # The next beat doesn't send it once more.
        scheduler.lock.release()
        assert run(start()) == []

    def test_edits_at_the_same_moment_survive(self, engine: str, start: Start) -> None:
        fine = row("fine", **interval(1))
        scheduler = start()
        run(scheduler)
        PeriodicTask.objects.filter(pk=fine.pk).update(description="edited", enabled=False)
        time.sleep(1.1)
        run(scheduler)

        edited = PeriodicTask.objects.get(pk=fine.pk)
        assert (edited.description, edited.enabled) == ("edited", False)
        assert edited.total_run_count == 2

    def test_another_beat_reads_it_when_it_becomes_active(self, engine: str, start: Start) -> None:
        fine = row("fine", **interval(1))
        one, other = start(), start()
        run(one)
        run(other)
        time.sleep(1.1)
        assert run(one) == ["fine"]
        one.lock.release()
        other.active = False  # it was on standby meanwhile

        assert run(other) == []
        assert PeriodicTask.objects.get(pk=fine.pk).total_run_count == 2

    def test_two_active_beats_send_each_run_once(
        self, engine: str, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        fine = row("fine", **interval(1))
        one, other = start(), start()  # as if the broker had given the lock to both
        run(one)
        run(other)
        for _ in range(3):
            time.sleep(1.1)
            assert run(one) + run(other) == ["fine"]
        assert PeriodicTask.objects.get(pk=fine.pk).total_run_count == 4
        # It goes on by what the other one has written.
        PeriodicTask.objects.filter(pk=fine.pk).update(last_run_at=timezone.now() - timedelta(hours=1))
        PeriodicTasks.update_changed()
        assert run(other) + run(one) == ["fine"]
        assert {text for text in caplog.messages if "isn't sent" in text} == {
            "Row 'fine' of the schedule isn't sent: it ran, or was edited, since it was read"
        }


def test_message_expires_by_the_brokers_clock(
    transactional_db: None, start: Start, celery_app: Celery
) -> None:
    row(expire_seconds=9)
    scheduler = start()
    scheduler.tick()
    scheduler.tick()

    with closing(celery_app.connection_for_write()) as connection:
        channel: Any = connection.default_channel
        python = channel.message_to_python(channel.basic_get("maintenance"))

    assert python.properties["expiration"] == "9000"
    # A worker whose clock is 50 seconds ahead still takes it.
    expires = datetime.fromisoformat(python.headers["expires"])
    assert expires > datetime.now(UTC) + timedelta(seconds=50)


@both_engines_for_real
def test_outage_of_the_database_is_waited_for(
    engine: str, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    row("fine")
    scheduler = start()
    answers, asked = PeriodicTasks.last_change, 0

    def last_change() -> datetime | None:
        nonlocal asked
        asked += 1
        if asked <= 3:
            raise OperationalError("refused\n  Is it running?")
        answer: datetime | None = answers()
        return answer

    monkeypatch.setattr(PeriodicTasks, "last_change", last_change)

    for _ in range(4):
        scheduler.tick()
    assert run(scheduler) == ["fine"]
    assert [text for text in caplog.messages if "database" in text] == [
        "Sending nothing: waiting for the database: refused",
        "The database answers",
    ]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Listen where systemd would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_systemd_is_told_which_rows_are_skipped(
    transactional_db: None, start: Start, manager: socket.socket
) -> None:
    row("bad", headers="null")
    start().tick()

    told = manager.recv(2000).decode().splitlines()
    assert told == [
        "WATCHDOG=1",
        "STATUS=active: 0 entries, next look in 5 s; skipped 1: 'bad' (headers: must be a JSON object)",
        "READY=1",
    ]


def test_class_of_the_command_line_is_kept(celery_app: Celery) -> None:
    assert issubclass(beat.mixed(DatabaseScheduler), DatabaseScheduler)


@pytest.mark.parametrize(("brokers", "heartbeat"), [(1, 10), (3, 3)])
def test_lost_broker_is_given_up_sooner_where_another_answers(brokers: int, heartbeat: int) -> None:
    urls = [f"pyamqp://a:b@10.0.0.{number}//" for number in range(brokers)]
    found = beat.patience(Celery("some", broker=";".join(urls)))
    assert found.heartbeat == heartbeat < found.answer < 2 * heartbeat


def test_lock_of_a_lost_broker_is_free() -> None:
    """The broker of a cluster refuses the question, because the queue went with another one."""

    def refuse(*_: object, **__: object) -> None:
        raise MessageNacked

    channel = SimpleNamespace(events={"basic_return": set()}, basic_publish_confirm=refuse)
    assert not beat.LeaderLock(Celery("some", broker="memory://")).taken(channel)


@both_engines_for_real
def test_refused_message_is_not_the_rows_fault(
    engine: str, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    row(f"fine on {engine}", **interval(1))
    scheduler = start()

    def refuse(*_: object, **__: object) -> None:
        raise MessageNacked

    with monkeypatch.context() as patch:
        patch.setattr(Producer, "publish", refuse)
        assert run(scheduler) == []
    assert "was not sent" in caplog.text
    assert "skipped" not in scheduler.status(1)
    time.sleep(1.1)
    assert run(scheduler) == [f"fine on {engine}"]


NAIVE = """
import sys
import django
django.setup()
from django.core.management import call_command
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from celery import Celery
from supervised import beat
call_command("migrate", verbosity=0)
every = IntervalSchedule.objects.create(every=1, period="seconds")
PeriodicTask.objects.create(name="fine", task="some.task", interval=every)
app = Celery("naive", broker="memory://")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()
beat.LeaderLock.taken = lambda *_: False  # the broker in this process sends nothing back
scheduler = beat.Service(app, scheduler_cls="django_celery_beat.schedulers:DatabaseScheduler").scheduler
import time
start = time.monotonic()
count = elapsed = 0
while count < 3 and elapsed < 60:
    scheduler.tick()
    time.sleep(0.1)
    elapsed = time.monotonic() - start
    count = PeriodicTask.objects.get(name="fine").total_run_count
scheduler.close()
print(count, elapsed, scheduler.status(1))
"""


@pytest.mark.parametrize(
    ("server", "aware", "zone"),
    [
        ("sqlite", True, "Asia/Kolkata"),
        ("sqlite", False, "America/Los_Angeles"),
        ("postgresql", True, "America/Los_Angeles"),
        ("postgresql", False, "Asia/Kolkata"),
    ],
)
def test_project_without_time_zones_runs(tmp_path: Path, zone: str, aware: bool, server: str) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}
    with postgresql() if server == "postgresql" else nullcontext() as given:
        (tmp_path / "naive.py").write_text(
            "SECRET_KEY = 'x'\n"
            "INSTALLED_APPS = ['django_celery_beat']\n"
            f"DATABASES = {{'default': {given or database!r}}}\n"
            f"USE_TZ = False\nTIME_ZONE = {zone!r}\nCELERY_TIMEZONE = {zone!r}\n"
            f"DJANGO_CELERY_BEAT_TZ_AWARE = {aware}\n"
            "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", NAIVE],
            cwd=tmp_path,
            env={
                "DJANGO_SETTINGS_MODULE": "naive",
                "PYTHONPATH": os.pathsep.join([str(tmp_path), str(APP.parent / "roles/systemd_units/files")]),
            },
            capture_output=True,
            text=True,
            timeout=180,
        )

    assert ran.returncode == 0, ran.stderr
    count, elapsed, said = ran.stdout.split(" ", 2)
    # Neither none nor one with each look at the schedule, however slow the machine is.
    assert 3 <= int(count) <= float(elapsed) + 1, ran.stdout + ran.stderr
    assert "skipped" not in said
