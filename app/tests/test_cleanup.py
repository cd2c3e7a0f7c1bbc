"""The clean-up deletes what the toolkit's own function deletes, on both engines."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, product
from typing import Any
from unittest.mock import patch

import pytest
from celery import Celery
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.models import CASCADE, ForeignKey, Model
from django.db.models.signals import ModelSignal, post_delete, pre_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from oauth2_provider import models as toolkit
from oauth2_provider.models import AccessToken, Grant, IDToken, RefreshToken
from oauth2_provider.settings import oauth2_settings

from tutorial import cleanup, tasks
from tutorial.cleanup import Mark
from tutorial.tasks import clear_tokens

from .conftest import both_engines, both_engines_for_real

logger = toolkit.logger
MODELS = (AccessToken, RefreshToken, IDToken, Grant)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRACE = timedelta(minutes=2)
LIFE = timedelta(days=30)
number = count()

# Every limit that a predicate may have, one tick before it and one after it.
MOMENTS = [
    NOW - limit + ticks * timedelta(microseconds=1)
    for limit in (timedelta(0), GRACE, LIFE)
    for ticks in (-1, 0, 1)
]
moments = st.sampled_from(MOMENTS)


@dataclass
class Family:
    """Tokens that belong together: an ID token, an access token with it, a refresh token with that."""

    id_token: datetime | None = None  # when it expires
    access: datetime | None = None  # when it expires
    refresh: bool = False
    revoked: datetime | None = None
    source: int | None = None  # the number of the family whose refresh token the access token came from


maybe = st.none() | moments
families = st.builds(Family, maybe, maybe, st.booleans(), maybe, st.none() | st.integers(0, 5))
graphs = st.tuples(st.lists(families, min_size=4, max_size=8), st.lists(moments, max_size=2))


options = st.fixed_dictionaries(
    {
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": st.sampled_from([0, None, int(GRACE.total_seconds())]),
        "REFRESH_TOKEN_EXPIRE_SECONDS": st.sampled_from([None, 0, LIFE, int(LIFE.total_seconds())]),
        "REFRESH_TOKEN_REUSE_PROTECTION": st.booleans(),
        "CLEAR_EXPIRED_TOKENS_BATCH_SIZE": st.sampled_from([1, 2, 3, 100]),
        "CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL": st.just(0),
    }
)


def name() -> str:
    return f"token {next(number)}"


def build(families: list[Family], grants: list[datetime], owner: dict[str, Any]) -> None:
    """Make the tokens; a source that isn't there, or that another access token has, is none."""
    refresh_tokens: dict[int, RefreshToken] = {}
    access_tokens: list[tuple[AccessToken, int | None]] = []
    for position, family in enumerate(families):
        id_token = access_token = None
        if family.id_token:
            id_token = IDToken.objects.create(expires=family.id_token, **owner)
        if family.access:
            access_token = AccessToken.objects.create(
                token=name(), expires=family.access, id_token=id_token, **owner
            )
            access_tokens.append((access_token, family.source))
        if family.refresh:
            refresh_tokens[position] = RefreshToken.objects.create(
                token=name(), revoked=family.revoked, access_token=access_token, **owner
            )
    for access_token, source in access_tokens:
        if source in refresh_tokens:
            refresh_token = refresh_tokens.pop(source)
            AccessToken.objects.filter(pk=access_token.pk).update(source_refresh_token=refresh_token)
    Grant.objects.bulk_create(
        Grant(code=name(), expires=expires, redirect_uri="https://client.example/", **owner)
        for expires in grants
    )


def tables() -> dict[str, list[tuple[Any, ...]]]:
    """Return every column of every token."""
    return {model.__name__: list(model.objects.order_by("pk").values_list()) for model in MODELS}


@contextmanager
def undone(using: str) -> Iterator[None]:
    """Take back what the block did to the database."""
    with transaction.atomic(using=using):
        yield
        transaction.set_rollback(True, using=using)


DELETED = re.compile(r"(\d+) (.*) deleted$")
Rows = dict[str, list[tuple[Any, ...]]]


def result(clear: Callable[[], None], caplog: pytest.LogCaptureFixture) -> tuple[Rows, dict[str, int]]:
    """Return the tables after a clean-up, and how many rows the log says were deleted."""
    caplog.clear()
    clear()
    lines = [DELETED.match(record.getMessage()) for record in caplog.records]
    return tables(), {line[2]: int(line[1]) for line in lines if line and line[1] != "0"}


def assert_same(
    engine: str,
    owner: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    graph: tuple[list[Family], list[datetime]],
    options: dict[str, Any],
    since: datetime | None = None,
) -> None:
    """Run both on the same tables and compare: after a whole look, and after one at what expired since."""
    caplog.set_level(logging.INFO, logger=logger.name)
    with (
        undone(engine),
        patch.multiple(oauth2_settings, **options),
        patch("django.utils.timezone.now", return_value=NOW),
    ):
        build(*graph, owner)
        with undone(engine):
            theirs = result(toolkit.clear_expired, caplog)
        with undone(engine):
            assert result(cleanup.clear_expired, caplog) == theirs
            connections[engine].check_constraints()
        if since is None:
            return
        mark = Mark(since, math.inf)
        left, _ = result(partial(cleanup.clear_expired, mark), caplog)
        id_tokens_in_use = {row[ID_TOKEN] for row in left["AccessToken"]}
        for name, rows in theirs[0].items():
            assert all(row in left[name] for row in rows), "deleted what the toolkit keeps"
            # What is left over had expired before.
            for row in left[name]:
                if row not in rows:
                    assert since <= NOW
                    # An ID token waits for its access token, which may have expired before.
                    assert row[EXPIRES[name]] < since or (name == "IDToken" and row[0] in id_tokens_in_use)
        assert mark.until == NOW - cleanup.OVERLAP
        mark.whole_look_at = time.monotonic()
        cleanup.clear_expired(mark)
        assert tables() == theirs[0]
        connections[engine].check_constraints()


ID_TOKEN = [field.name for field in AccessToken._meta.fields].index("id_token")
# The column in a row of those that a tick may leave.
EXPIRES = {
    model.__name__: [field.name for field in model._meta.fields].index("expires")
    for model in (AccessToken, IDToken)
}


@both_engines
@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs, options=options, since=moments)
def test_same_rows_go(
    engine: str,
    owner: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    graph: tuple[list[Family], list[datetime]],
    options: dict[str, Any],
    since: datetime,
) -> None:
    assert_same(engine, owner, caplog, graph, options, since)


# What chance may leave out: every limit in every place. Half the access tokens came from a refresh token.
EVERY_LIMIT = [
    Family(None, access, refresh=True, revoked=revoked, source=position - 1 if position % 2 else None)
    for position, (access, revoked) in enumerate(product([None, *MOMENTS], repeat=2))
] + [Family(id_token, access) for id_token, access in product(MOMENTS, [None, *MOMENTS])]


@both_engines
@pytest.mark.parametrize("grace", [0, int(GRACE.total_seconds())])
@pytest.mark.parametrize("life", [None, LIFE])
@pytest.mark.parametrize("reuse_protection", [False, True])
def test_same_rows_go_at_every_limit(
    engine: str,
    owner: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    grace: int,
    life: timedelta | None,
    reuse_protection: bool,
) -> None:
    options = {
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": grace,
        "REFRESH_TOKEN_EXPIRE_SECONDS": life,
        "REFRESH_TOKEN_REUSE_PROTECTION": reuse_protection,
        "CLEAR_EXPIRED_TOKENS_BATCH_SIZE": 40,
        "CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL": 0,
    }
    assert_same(engine, owner, caplog, (EVERY_LIMIT, MOMENTS), options)


def counted(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many rows the log says were deleted."""
    lines = [DELETED.match(record.getMessage()) for record in caplog.records]
    return sum(int(line[1]) for line in lines if line)


def by_hand() -> None:
    call_command("cleartokens")


@both_engines_for_real
@pytest.mark.parametrize("other", [clear_tokens, by_hand])
def test_two_at_once_delete_each_row_once(
    engine: str, owner: dict[str, Any], caplog: pytest.LogCaptureFixture, other: Callable[[], None]
) -> None:
    caplog.set_level(logging.INFO, logger=logger.name)
    old = timezone.now() - 2 * LIFE
    orphans = [Family(None, old, source=150 + i) for i in range(50)]
    build(
        [Family(old, old, refresh=True)] * 50
        + orphans
        + [Family(refresh=True)] * 50
        + [Family(refresh=True, revoked=old)] * 50,
        [old] * 50,
        owner,
    )
    before = sum(model.objects.count() for model in MODELS)
    assert before == 350
    together = threading.Barrier(2)

    def run(clear: Callable[[], None]) -> None:
        together.wait(timeout=10)
        try:
            clear()
        finally:
            connections.close_all()

    with (
        patch.multiple(
            oauth2_settings, CLEAR_EXPIRED_TOKENS_BATCH_SIZE=10, CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL=0.005
        ),
        ThreadPoolExecutor(2) as pool,
    ):
        for future in [pool.submit(run, clear) for clear in (clear_tokens, other)]:
            future.result(timeout=60)

    assert counted(caplog) == before - sum(model.objects.count() for model in MODELS)
    clear_tokens()  # what one had locked the other has left
    assert counted(caplog) == before
    assert not any(tables().values())


@pytest.mark.django_db
@pytest.mark.parametrize("signal", [pre_delete, post_delete])
@pytest.mark.parametrize("model", MODELS)
def test_receivers_hear_of_deletions(
    signal: ModelSignal, model: type[Model], owner: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    def receiver(instance: Model, **_: object) -> None:
        heard.append(instance)

    old = timezone.now() - 2 * LIFE
    build([Family(old, old, refresh=True), Family(refresh=True, revoked=old), Family(old, old)], [old], owner)
    expected = model._default_manager.count()
    signal.connect(receiver, sender=model)
    try:
        cleanup.clear_expired()
    finally:
        signal.disconnect(receiver, sender=model)

    assert len(heard) == expected > 0
    assert not any(tables().values())


@pytest.fixture
def note(db: None) -> Iterator[type[Model]]:
    """A model of the project's, whose rows go with their access token."""

    class Note(Model):
        access_token = ForeignKey(AccessToken, on_delete=CASCADE)

        class Meta:
            app_label = "tutorial"

        def __str__(self) -> str:
            return f"note {self.pk}"

    apps.clear_cache()  # so that the toolkit's model knows of it
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE "tutorial_note" ("id" integer PRIMARY KEY, "access_token_id" bigint)')
    yield Note
    del apps.all_models["tutorial"]["note"]
    apps.clear_cache()


def test_what_refers_to_a_token_goes_with_it(note: type[Model], owner: dict[str, Any]) -> None:
    now = timezone.now()
    build([Family(None, now - LIFE), Family(None, now + LIFE)], [], owner)
    expired, live = AccessToken.objects.order_by("expires")
    for token in (expired, live):
        note._default_manager.create(access_token=token)

    cleanup.clear_expired()

    assert list(AccessToken.objects.all()) == [live]
    assert list(note._default_manager.values_list("access_token", flat=True)) == [live.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("grace", [-1, "soon"])
def test_settings_that_the_toolkit_refuses_are_refused(grace: object) -> None:
    with (
        patch.object(oauth2_settings, "REFRESH_TOKEN_GRACE_PERIOD_SECONDS", grace),
        pytest.raises(ImproperlyConfigured, match="REFRESH_TOKEN_GRACE_PERIOD_SECONDS"),
    ):
        cleanup.clear_expired()


@both_engines
def test_idle_tick_asks_as_little_as_it_can(engine: str) -> None:
    with CaptureQueriesContext(connections[engine]) as queries:
        cleanup.clear_expired()

    # One for each kind of row; and no transaction, which would stop other writers.
    assert len(queries) == 6
    assert all(query["sql"].startswith("SELECT") for query in queries)


def expired_families(number: int) -> list[Family]:
    old = timezone.now() - 2 * LIFE
    return [Family(old, old, refresh=True), Family(refresh=True, revoked=old), Family(old, old)] * number


@both_engines
def test_it_ends_in_time_and_the_next_run_goes_on(
    engine: str, owner: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger=logger.name)
    build(expired_families(5), [timezone.now() - LIFE] * 5, owner)
    mark = Mark()
    monkeypatch.setattr(tasks, "_mark", mark)
    monkeypatch.setattr(tasks, "TIME", 0)
    rows = []
    with patch.multiple(
        oauth2_settings, CLEAR_EXPIRED_TOKENS_BATCH_SIZE=2, CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL=0
    ):
        while mark.until is None:
            caplog.clear()
            clear_tokens()
            rows.append(sum(map(len, tables().values())))
            stopped = caplog.messages[-1] == "Stopped after 0 s; the next run goes on"
            assert stopped is (mark.until is None)

    assert rows[0] > rows[1] > rows[-1] == 0


def test_its_time_is_well_below_the_workers_limit(celery_app: Celery) -> None:
    assert 0 < tasks.TIME <= celery_app.conf.task_soft_time_limit / 2


@both_engines
def test_clock_that_was_set_back_loses_nothing(engine: str, owner: dict[str, Any]) -> None:
    now = timezone.now()
    mark = Mark()
    with patch("django.utils.timezone.now", return_value=now + 2 * LIFE):  # too late
        cleanup.clear_expired(mark)
    build([Family(now, now)], [], owner)

    cleanup.clear_expired(mark)

    assert not any(tables().values())
    assert mark.until is not None
    assert mark.until < timezone.now()


@both_engines
def test_what_needs_a_whole_look_goes_within_the_hour(engine: str, owner: dict[str, Any]) -> None:
    hour_ago = timezone.now() - timedelta(hours=1)
    build([Family(hour_ago, hour_ago, refresh=True)], [], owner)
    mark = Mark()
    cleanup.clear_expired(mark)
    # Soon, as it was cheap.
    assert 0 < mark.whole_look_at - time.monotonic() < cleanup.SHARE * 0.2
    RefreshToken.objects.all().delete()  # as no request does
    mark.whole_look_at = time.monotonic() + 10
    cleanup.clear_expired(mark)
    assert AccessToken.objects.exists()

    mark.whole_look_at = time.monotonic()
    with patch.object(cleanup, "SHARE", math.inf):  # as if it took for ever
        cleanup.clear_expired(mark)

    assert not any(tables().values())
    assert 0 < mark.whole_look_at - time.monotonic() < 3590


def test_by_hand_everything_is_looked_at(owner: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_mark", Mark(timezone.now(), math.inf))
    hour_ago = timezone.now() - timedelta(hours=1)
    build([Family(hour_ago, hour_ago)], [], owner)
    clear_tokens()
    assert AccessToken.objects.exists()

    call_command("cleartokens")

    assert not AccessToken.objects.exists()


LOCKED: dict[str, Callable[[], Any]] = {
    "refresh token": lambda: RefreshToken.objects.filter(revoked=None),
    "its access token": lambda: AccessToken.objects.exclude(refresh_token=None),
    "revoked refresh token": lambda: RefreshToken.objects.exclude(revoked=None),
    "access token that it was changed for": lambda: AccessToken.objects.exclude(source_refresh_token=None),
    "access token": lambda: AccessToken.objects.filter(id_token=None, source_refresh_token=None),
    "ID token": lambda: IDToken.objects.all(),
    "grant": lambda: Grant.objects.all(),
}


@pytest.mark.django_db(databases=["default", "postgresql"], transaction=True)
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("what", LOCKED)
def test_what_a_request_has_locked_is_not_waited_for(engine: str, owner: dict[str, Any], what: str) -> None:
    old, later = timezone.now() - 2 * LIFE, timezone.now() + LIFE
    revoked, successor = Family(refresh=True, revoked=old), Family(None, later, refresh=True, source=1)
    build([Family(old, old, refresh=True), revoked, successor, Family(None, old)], [old], owner)
    locked, done = threading.Event(), threading.Event()

    def request() -> None:
        with transaction.atomic(using=engine):
            assert list(LOCKED[what]().select_for_update())
            locked.set()
            done.wait(timeout=20)
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(request)
        try:
            assert locked.wait(timeout=10)
            with connections[engine].cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
            cleanup.clear_expired()
            left = tables()
        finally:
            done.set()
        future.result()

    assert sum(map(len, left.values())) > 2
    cleanup.clear_expired()
    assert [len(rows) for rows in tables().values()] == [1, 1, 0, 0]
