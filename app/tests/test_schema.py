"""Indexes on the toolkit's tables: there after every migration, and used. Triggers: gone."""

import math
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from oauth2_provider.models import RefreshToken

from tutorial import cleanup, schema

from .conftest import both_engines_for_real
from .test_cleanup import Family, build, tables

INDEXES = {index.name for index in chain.from_iterable(schema.INDEXES.values())}
# As the release before kept its lists, in SQLite, and as releases before that did, in PostgreSQL.
OLD_TRIGGERS = {
    "default": [
        """CREATE TRIGGER tutorial_unpaired_accesstoken_holder_delete
        AFTER DELETE ON oauth2_provider_refreshtoken WHEN (OLD.access_token_id IS NOT NULL)
        BEGIN INSERT OR IGNORE INTO tutorial_unpairedaccesstoken (token, expires)
        SELECT id, expires FROM oauth2_provider_accesstoken WHERE id = OLD.access_token_id; END""",
        """CREATE TRIGGER tutorial_unpaired_idtoken_token_delete AFTER DELETE ON oauth2_provider_idtoken
        BEGIN DELETE FROM tutorial_unpairedidtoken WHERE token IN (OLD.id); END""",
    ],
    "postgresql": [
        """CREATE FUNCTION tutorial_unpaired_accesstoken_holder_delete() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO tutorial_unpairedaccesstoken (token, expires)
        SELECT id, expires FROM oauth2_provider_accesstoken
        WHERE id IN (SELECT access_token_id FROM before); RETURN NULL; END $$;
        CREATE TRIGGER tutorial_unpaired_accesstoken_holder_delete
        AFTER DELETE ON oauth2_provider_refreshtoken REFERENCING OLD TABLE AS before
        FOR EACH STATEMENT EXECUTE FUNCTION tutorial_unpaired_accesstoken_holder_delete()""",
        """CREATE FUNCTION tutorial_unpaired_idtoken_token_insert() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO tutorial_unpairedidtoken (token, expires) VALUES (NEW.id, NEW.expires);
        RETURN NULL; END $$;
        CREATE TRIGGER tutorial_unpaired_idtoken_token_insert AFTER INSERT ON oauth2_provider_idtoken
        FOR EACH ROW WHEN (NEW.id IS NOT NULL) EXECUTE FUNCTION tutorial_unpaired_idtoken_token_insert()""",
    ],
}
TRIGGERS = {
    "default": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION SELECT proname FROM pg_proc "
    "WHERE proname LIKE 'tutorial%'",
}


def valid_indexes(using: str) -> set[str]:
    with connections[using].cursor() as cursor:
        cursor.execute(schema.FIND_INDEXES[connections[using].vendor])
        return {name for name, valid in cursor.fetchall() if valid}


def triggers(using: str) -> list[str]:
    with connections[using].cursor() as cursor:
        cursor.execute(TRIGGERS[using])
        return [name for (name,) in cursor.fetchall()]


def lists(using: str) -> list[str]:
    return [name for name in connections[using].introspection.table_names() if "unpaired" in name]


def go_back_to_triggers(using: str) -> None:
    call_command("migrate", "tutorial", "0001", database=using, verbosity=0)
    assert len(lists(using)) == 2
    with connections[using].cursor() as cursor:
        for statement in OLD_TRIGGERS[using]:
            cursor.execute(statement)
    assert triggers(using)


@both_engines_for_real
def test_triggers_of_earlier_releases_and_their_lists_go(engine: str, owner: dict[str, Any]) -> None:
    go_back_to_triggers(engine)
    now = timezone.now()
    build([Family(now, now, refresh=True), Family(now)], [], owner)
    before = tables()

    call_command("migrate", database=engine, verbosity=0)

    assert not triggers(engine)
    assert not lists(engine)
    assert tables() == before
    RefreshToken.objects.all().delete()


@both_engines_for_real
def test_they_go_before_the_toolkits_tables_are_rebuilt(engine: str) -> None:
    call_command("migrate", "oauth2_provider", "0017", database=engine, verbosity=0)
    go_back_to_triggers(engine)

    # 0018 adds a column, for which SQLite rebuilds the tables.
    call_command("migrate", database=engine, verbosity=0)

    assert not triggers(engine)
    assert not lists(engine)


@both_engines_for_real
def test_indexes_survive_the_toolkits_migrations_backwards_and_forwards(
    engine: str, owner: dict[str, Any]
) -> None:
    now = timezone.now()
    build([Family(now, now), Family(now, now, refresh=True), Family(now), Family(None, now)], [now], owner)

    for target in ("0017", "0022"):
        call_command("migrate", "oauth2_provider", target, database=engine, verbosity=0)

        assert valid_indexes(engine) >= INDEXES, target
    assert [len(rows) for rows in tables().values()] == [3, 1, 3, 1]


@both_engines_for_real
def test_indexes_come_back_with_the_tables(engine: str) -> None:
    # Not every table and column is there at first.
    for target in ("zero", "0001", "0011"):
        call_command("migrate", "oauth2_provider", target, database=engine, verbosity=0)
    call_command("migrate", database=engine, verbosity=0)

    assert valid_indexes(engine) >= INDEXES


@both_engines_for_real
def test_unique_checksums_of_the_toolkits_next_release(engine: str, owner: dict[str, Any]) -> None:
    """What its migration 0023 does to the table, beside our indexes."""
    now = timezone.now()
    build([Family(None, now, refresh=True)] * 2, [], owner)
    unique = models.CharField(max_length=64, unique=True, db_index=True)

    class Unique(migrations.Migration):
        operations = (
            migrations.AlterUniqueTogether("refreshtoken", set()),
            migrations.AlterField("refreshtoken", "token_checksum", unique),
        )

    migration = Unique("0023", "oauth2_provider")
    before = MigrationLoader(connections[engine]).project_state()

    with connections[engine].schema_editor() as editor:
        migration.apply(before.clone(), editor)
    schema.ensure_indexes(engine)
    there = valid_indexes(engine)
    cleanup.clear_expired()
    with connections[engine].schema_editor() as editor:
        migration.unapply(before.clone(), editor)
    schema.ensure_indexes(engine)

    assert there >= INDEXES
    assert valid_indexes(engine) >= INDEXES


@both_engines_for_real
def test_what_somebody_dropped_comes_back_with_the_next_migrate(engine: str) -> None:
    with connections[engine].cursor() as cursor:
        cursor.execute("DROP INDEX tutorial_access_expires")

    with CaptureQueriesContext(connections[engine]) as queries:
        call_command("migrate", database=engine, verbosity=0)

    assert valid_indexes(engine) >= INDEXES
    built = [query["sql"] for query in queries if query["sql"].startswith("CREATE INDEX")]
    assert len(built) == 1
    # Else nobody could write to the table meanwhile.
    assert ("CONCURRENTLY" in built[0]) is (engine == "postgresql")


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
def test_migration_state_is_complete_and_the_toolkits_left_alone() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_migrate_with_nothing_to_do_changes_nothing() -> None:
    with CaptureQueriesContext(connection) as queries:
        schema.ensure_indexes("default")

    assert all(query["sql"].split()[0] in {"SELECT", "PRAGMA"} for query in queries)


@pytest.mark.django_db
@pytest.mark.parametrize("whole", [True, False])
def test_idle_run_searches_and_scans_nothing(owner: dict[str, Any], whole: bool) -> None:
    later = timezone.now() + timedelta(hours=1)
    build([Family(later, later, refresh=True)] * 5, [], owner)
    mark = None if whole else cleanup.Mark(timezone.now(), math.inf)
    with CaptureQueriesContext(connection) as queries:
        cleanup.clear_expired(mark)

    plans = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans += [row[3] for row in cursor.fetchall()]
    searches = ("SEARCH", "CORRELATED SCALAR SUBQUERY")
    assert all(plan.startswith(searches) for plan in plans), plans
    for name in INDEXES:
        assert any(name in plan for plan in plans), name
