"""Indexes and triggers on the toolkit's tables: there after every migration, and used."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tutorial import cleanup, schema

from .conftest import both_engines_for_real
from .test_cleanup import Family, build, lists_are_right, tables

INDEXES = {index.name for _, _, index in schema.INDEXES}


def valid_indexes(using: str) -> set[str]:
    with connections[using].cursor() as cursor:
        cursor.execute(schema.VALID_INDEXES[connections[using].vendor])
        return {name for name, valid in cursor.fetchall() if valid}


@both_engines_for_real
def test_they_survive_the_toolkits_migrations_backwards_and_forwards(
    engine: str, owner: dict[str, Any]
) -> None:
    now = timezone.now()
    build([Family(now, now), Family(now, now, refresh=True), Family(now), Family(None, now)], [now], owner)

    # 0018 adds a column, for which SQLite builds the tables anew.
    for target in ("0017", "0022"):
        call_command("migrate", "oauth2_provider", target, database=engine, verbosity=0)

        assert valid_indexes(engine) >= INDEXES, target
        assert schema.triggers_are_there(engine), target
    assert lists_are_right()
    assert [len(rows) for rows in tables().values()] == [3, 1, 3, 1]


@both_engines_for_real
def test_they_come_back_with_the_tables(engine: str) -> None:
    call_command("migrate", "oauth2_provider", "zero", database=engine, verbosity=0)
    assert not valid_indexes(engine) & INDEXES
    call_command("migrate", "oauth2_provider", database=engine, verbosity=0)

    assert valid_indexes(engine) >= INDEXES
    assert schema.triggers_are_there(engine)


@both_engines_for_real
def test_what_somebody_dropped_comes_back_with_the_next_migrate(engine: str, owner: dict[str, Any]) -> None:
    now = timezone.now()
    drop = "DROP FUNCTION {}() CASCADE" if engine == "postgresql" else "DROP TRIGGER {}"
    with connections[engine].cursor() as cursor:
        cursor.execute("DROP INDEX tutorial_access_expires")
        cursor.execute(drop.format("tutorial_unpaired_accesstoken_token_insert"))
    build([Family(None, now)], [], owner)
    assert not lists_are_right()

    with CaptureQueriesContext(connections[engine]) as queries:
        call_command("migrate", database=engine, verbosity=0)

    assert valid_indexes(engine) >= INDEXES
    assert lists_are_right()
    built = [query["sql"] for query in queries if query["sql"].startswith("CREATE INDEX")]
    assert len(built) == 1
    # Else nobody could write to the table meanwhile.
    assert ("CONCURRENTLY" in built[0]) is (engine == "postgresql")


@both_engines_for_real
def test_trigger_of_another_making_is_made_anew(
    engine: str, monkeypatch: pytest.MonkeyPatch, owner: dict[str, Any]
) -> None:
    now = timezone.now()
    schema._drop_triggers(connections[engine])
    # Right as well, so that nothing but its text tells them apart.
    monkeypatch.setitem(schema.BODIES, ("token", "delete"), schema.FORGET + schema.FORGET)
    schema._trigger_statements.cache_clear()
    schema.after_migrate(engine)
    monkeypatch.undo()
    schema._trigger_statements.cache_clear()
    build([Family(None, now)], [], owner)
    assert not schema.triggers_are_there(engine)

    call_command("migrate", database=engine, verbosity=0)

    assert schema.triggers_are_there(engine)
    assert lists_are_right()


@pytest.mark.django_db(databases=["postgresql"], transaction=True)
def test_index_of_an_interrupted_build_is_built_again() -> None:
    with connections["postgresql"].cursor() as cursor:
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tutorial_grant_expires'::regclass"
        )
    assert "tutorial_grant_expires" not in valid_indexes("postgresql")

    call_command("migrate", database="postgresql", verbosity=0)

    assert valid_indexes("postgresql") >= INDEXES


@pytest.mark.django_db
def test_toolkits_migration_state_is_left_alone() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_migrate_with_nothing_to_do_changes_nothing() -> None:
    with CaptureQueriesContext(connection) as queries:
        schema.after_migrate("default")

    assert all(query["sql"].startswith("SELECT") for query in queries)


@pytest.mark.django_db
def test_idle_tick_searches_and_scans_nothing(owner: dict[str, Any]) -> None:
    later = timezone.now() + timedelta(hours=1)
    build([Family(later, later, refresh=True)] * 5, [], owner)
    with CaptureQueriesContext(connection) as queries:
        cleanup.clear_expired()

    plans = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries[1:]:  # the first asks for the triggers
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans += [row[3] for row in cursor.fetchall()]
    assert all(plan.startswith("SEARCH") for plan in plans), plans
    for name in INDEXES:
        assert any(name in plan for plan in plans), name
