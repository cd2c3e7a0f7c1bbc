"""The clean-up deletes what the toolkit's own function deletes, on both engines."""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, product
from typing import Any
from unittest.mock import patch

import pytest
from django.apps import apps
from django.contrib.auth.models import User
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

from tutorial import cleanup
from tutorial.models import UnpairedAccessToken, UnpairedIDToken
from tutorial.tasks import clear_tokens

from .conftest import both_engines, both_engines_for_real

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


def lists_are_right() -> bool:
    """Tell whether the lists of unpaired tokens say what the tables of tokens say."""
    return all(
        set(unpaired.objects.values_list("token", "expires")) == set(tokens.values_list("pk", "expires"))
        for unpaired, tokens in (
            (UnpairedAccessToken, AccessToken.objects.filter(refresh_token__isnull=True)),
            (UnpairedIDToken, IDToken.objects.filter(access_token__isnull=True)),
        )
    )


@contextmanager
def undone(using: str) -> Iterator[None]:
    """Take back what the block did to the database."""
    with transaction.atomic(using=using):
        yield
        transaction.set_rollback(True, using=using)


def result(
    clear: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> tuple[dict[str, list[tuple[Any, ...]]], list[str]]:
    """Return the tables and the log after a clean-up."""
    caplog.clear()
    clear()
    return tables(), [record.getMessage() for record in caplog.records]


def assert_same(
    engine: str,
    owner: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    graph: tuple[list[Family], list[datetime]],
    options: dict[str, Any],
) -> None:
    """Run both on the same tables, one after the other, and compare."""
    caplog.set_level(logging.INFO, logger=cleanup.logger.name)
    with (
        undone(engine),
        patch.multiple(oauth2_settings, **options),
        patch("django.utils.timezone.now", return_value=NOW),
    ):
        build(*graph, owner)
        assert lists_are_right()
        with undone(engine):
            theirs = result(toolkit.clear_expired, caplog)
            assert lists_are_right()
        ours = result(cleanup.clear_expired, caplog)

        assert ours == theirs
        assert lists_are_right()
        connections[engine].check_constraints()


@both_engines
@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs, options=options)
def test_same_rows_go_and_same_lines_are_logged(
    engine: str,
    owner: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    graph: tuple[list[Family], list[datetime]],
    options: dict[str, Any],
) -> None:
    assert_same(engine, owner, caplog, graph, options)


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


def both(owner: dict[str, Any]) -> tuple[list[AccessToken], list[RefreshToken]]:
    build([Family(NOW, NOW, refresh=True), Family(None, NOW), Family(NOW)], [], owner)
    return list(AccessToken.objects.order_by("pk")), list(RefreshToken.objects.order_by("pk"))


CHANGES: dict[str, Callable[[list[AccessToken], list[RefreshToken]], object]] = {
    "access token expires otherwise": lambda a, r: AccessToken.objects.update(expires=NOW + LIFE),
    "ID token expires otherwise": lambda a, r: IDToken.objects.update(expires=NOW + LIFE),
    "access token gets another key": lambda a, r: AccessToken.objects.filter(pk=a[1].pk).update(id=10**6),
    "refresh token goes": lambda a, r: RefreshToken.objects.all().delete(),
    "refresh token moves": lambda a, r: RefreshToken.objects.update(access_token=a[1]),
    "refresh token lets go": lambda a, r: RefreshToken.objects.update(access_token=None),
    "refresh token is revoked": lambda a, r: r[0].revoke(),
    "refresh token comes": lambda a, r: RefreshToken.objects.create(
        token=name(), access_token=a[1], user=a[1].user, application=a[1].application
    ),
    "access token goes": lambda a, r: a[0].delete(),
    "ID token goes": lambda a, r: IDToken.objects.all().delete(),
    "access token takes another ID token": lambda a, r: AccessToken.objects.filter(pk=a[0].pk).update(
        id_token=IDToken.objects.get(access_token=None)
    ),
    "user goes": lambda a, r: User.objects.all().delete(),
}


@both_engines
@pytest.mark.parametrize("change", CHANGES)
def test_lists_follow_whatever_happens_to_tokens(engine: str, owner: dict[str, Any], change: str) -> None:
    access_tokens, refresh_tokens = both(owner)
    before = set(UnpairedAccessToken.objects.values_list()), set(UnpairedIDToken.objects.values_list())

    CHANGES[change](access_tokens, refresh_tokens)

    assert lists_are_right()
    after = set(UnpairedAccessToken.objects.values_list()), set(UnpairedIDToken.objects.values_list())
    assert after != before


DELETED = re.compile(r"(\d+) .* deleted$")


def counted(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many rows the log says were deleted."""
    matches = [DELETED.match(record.getMessage()) for record in caplog.records]
    return sum(int(match[1]) for match in matches if match)


def by_hand() -> None:
    call_command("cleartokens")


@both_engines_for_real
@pytest.mark.parametrize("other", [clear_tokens, by_hand])
def test_two_at_once_delete_each_row_once(
    engine: str, owner: dict[str, Any], caplog: pytest.LogCaptureFixture, other: Callable[[], None]
) -> None:
    caplog.set_level(logging.INFO, logger=cleanup.logger.name)
    old = timezone.now() - 2 * LIFE
    heirs = [Family(None, old, source=150 + i) for i in range(50)]
    build(
        [Family(old, old, refresh=True)] * 50
        + heirs
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


def left_to_the_toolkit(caplog: pytest.LogCaptureFixture) -> str:
    """Run the clean-up; return the line that says why, having seen the toolkit at work."""
    caplog.set_level(logging.INFO, logger=cleanup.logger.name)
    with CaptureQueriesContext(connection) as queries:
        cleanup.clear_expired()
    assert any("COUNT" in query["sql"] for query in queries), "only the toolkit counts"
    return caplog.records[0].getMessage()


@pytest.mark.django_db
@pytest.mark.parametrize("signal", [pre_delete, post_delete])
@pytest.mark.parametrize("model", MODELS)
def test_receivers_hear_of_deletions(
    signal: ModelSignal, model: type[Model], caplog: pytest.LogCaptureFixture
) -> None:
    def receiver(**_: object) -> None: ...

    signal.connect(receiver, sender=model)
    try:
        line = left_to_the_toolkit(caplog)
    finally:
        signal.disconnect(receiver, sender=model)

    assert f"a receiver waits for deletions of {model._meta.label}" in line


@pytest.mark.django_db
@pytest.mark.parametrize("setting", cleanup.MODELS)
def test_swapped_models_are_left_to_the_toolkit(setting: str) -> None:
    with patch.object(oauth2_settings, setting, "project.Token"):
        reason = cleanup.reason_for_the_long_way()

    assert reason is not None
    assert reason.startswith(setting)


@pytest.mark.django_db
def test_without_triggers_the_toolkit_does_the_work(caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER tutorial_unpaired_idtoken_holder_delete")

    assert "lacks triggers" in left_to_the_toolkit(caplog)


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


def test_what_refers_to_a_token_goes_with_it(
    note: type[Model], owner: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    now = timezone.now()
    build([Family(None, now - LIFE), Family(None, now + LIFE)], [], owner)
    expired, live = AccessToken.objects.order_by("expires")
    for token in (expired, live):
        note._default_manager.create(access_token=token)

    line = left_to_the_toolkit(caplog)

    assert line.endswith("tutorial.note> refers to it")
    assert list(AccessToken.objects.all()) == [live]
    assert list(note._default_manager.values_list("access_token", flat=True)) == [live.pk]


@both_engines
def test_wrong_list_neither_misleads_nor_keeps_it_from_ending(engine: str, owner: dict[str, Any]) -> None:
    later = timezone.now() + LIFE
    build([Family(None, later)] * 5, [], owner)
    UnpairedAccessToken.objects.update(expires=timezone.now() - LIFE)

    with patch.multiple(
        oauth2_settings, CLEAR_EXPIRED_TOKENS_BATCH_SIZE=2, CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL=0
    ):
        cleanup.clear_expired()

    assert AccessToken.objects.count() == 5


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

    # One for the triggers, one for each kind of row; and no transaction, which would stop other writers.
    assert len(queries) == 7
    assert all(query["sql"].startswith("SELECT") for query in queries)
