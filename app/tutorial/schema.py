"""What the clean-up needs on the tables of django-oauth-toolkit: indexes and triggers.

They aren't part of the toolkit's migration state, where `makemigrations` would want to remove them. But a
table that SQLite builds anew in one of the toolkit's migrations loses them silently, so they are ensured
after every `migrate`; what is there already costs a few queries.
"""

from functools import cache
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Index, Q

from tutorial.models import Unpaired, UnpairedAccessToken, UnpairedIDToken

# The model, the columns that must be there, and the index.
INDEXES = [
    ("AccessToken", {"expires"}, Index(fields=["expires"], name="tutorial_access_expires")),
    ("Grant", {"expires"}, Index(fields=["expires"], name="tutorial_grant_expires")),
    # Partial ones: some refresh tokens are revoked, next to none has lost its access token otherwise.
    (
        "RefreshToken",
        {"revoked"},
        Index(fields=["revoked"], name="tutorial_refresh_revoked", condition=Q(revoked__isnull=False)),
    ),
    (
        "RefreshToken",
        {"revoked", "access_token_id"},
        Index(
            # SQLite needs the first two to prefer it to the toolkit's index, PostgreSQL the third's order.
            fields=["access_token", "revoked", "id"],
            name="tutorial_refresh_orphan",
            condition=Q(revoked__isnull=True, access_token__isnull=True),
        ),
    ),
]


class Pairing(NamedTuple):
    """A kind of token, the column elsewhere that may refer to it, and the list of those without."""

    unpaired: type[Unpaired]
    token: str
    holder: str
    column: str

    @property
    def tables(self) -> dict[str, str]:
        """The names for the SQL below."""
        return {
            "unpaired": self.unpaired._meta.db_table,
            "token": _model(self.token)._meta.db_table,
            "holder": _model(self.holder)._meta.db_table,
            "column": self.column,
        }

    @property
    def triggers(self) -> list[tuple[str, str, str, list[str]]]:
        """Of each trigger: its name, side and event, and the columns that matter, the token's key first."""
        sides = {"token": ["id", "expires"], "holder": [self.column]}
        return [
            (f"tutorial_unpaired_{self.token}_{side}_{event}".lower(), side, event, columns)
            for side, columns in sides.items()
            for event in ("insert", "update", "delete")
        ]


PAIRINGS = [
    Pairing(UnpairedAccessToken, "AccessToken", "RefreshToken", "access_token_id"),
    Pairing(UnpairedIDToken, "IDToken", "AccessToken", "id_token_id"),
]

FORGET = """
    DELETE FROM "{unpaired}" WHERE "token" {keys};"""
# A scalar subquery, because PostgreSQL might turn NOT EXISTS into a join with the whole table.
ADD = """
    INSERT{or_ignore} INTO "{unpaired}" ("token", "expires") SELECT "id", "expires" FROM "{token}"
        WHERE "id" {keys} AND (SELECT 1 FROM "{holder}" WHERE "{column}" = "{token}"."id") IS NULL;"""
FILL = """
    INSERT INTO "{unpaired}" ("token", "expires") SELECT "id", "expires" FROM "{token}"
        WHERE NOT EXISTS (SELECT 1 FROM "{holder}" WHERE "{column}" = "{token}"."id")"""
# SQLite copies each page that a statement changes to a temporary file, if anything in it could make it fail.
OR_IGNORE = {"sqlite": " OR IGNORE", "postgresql": ""}
# PostgreSQL's writers don't wait for each other by themselves: those of one token do, by its row.
LOCK = """
    PERFORM 1 FROM "{token}" WHERE "id" {keys} ORDER BY "id" FOR NO KEY UPDATE;"""

# What keeps the list right when something happens to a token, or to what refers to it.
BODIES = {
    ("token", "insert"): ADD,
    ("token", "update"): FORGET + ADD,
    ("token", "delete"): FORGET,
    ("holder", "insert"): FORGET,
    ("holder", "update"): FORGET + ADD,
    ("holder", "delete"): ADD,
}
# The tokens that an event may concern. Triggers of SQLite run for each row. Those of PostgreSQL do so
# for new rows, of which a request makes one; for what is changed in numbers, once for each statement.
KEYS = {
    # A list of one key costs SQLite more than all else that a trigger does.
    "sqlite": {"insert": "= NEW.{key}", "update": "IN (OLD.{key}, NEW.{key})", "delete": "= OLD.{key}"},
    "postgresql": {
        "insert": "= NEW.{key}",
        "update": """IN (
            SELECT {key} FROM (SELECT {columns} FROM before EXCEPT SELECT {columns} FROM after) AS old UNION
            SELECT {key} FROM (SELECT {columns} FROM after EXCEPT SELECT {columns} FROM before) AS new)""",
        "delete": "IN (SELECT {key} FROM before)",
    },
}
TRIGGER = {
    "sqlite": """CREATE TRIGGER {name} AFTER {event} {of} ON "{table}" {when} BEGIN {body} END""",
    "postgresql": """
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$;
        CREATE TRIGGER {name} AFTER {event} ON "{table}" {rows} EXECUTE FUNCTION {name}()""",
}
ROWS = {
    "insert": "FOR EACH ROW {when}",
    "update": "REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT",
    "delete": "REFERENCING OLD TABLE AS before FOR EACH STATEMENT",
}
# Each with (a part of) the statement that made it.
FIND_TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": """SELECT tgname, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE tgenabled = 'O' AND pg_table_is_visible(tgrelid)""",
}
VALID_INDEXES = {
    "sqlite": "SELECT name, 1 FROM sqlite_master WHERE type = 'index'",
    "postgresql": """SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE pg_table_is_visible(pg_class.oid)""",
}


def triggers_are_there(using: str) -> bool:
    """Tell whether the database `using` keeps its lists right, by the triggers that are made here."""
    connection = connections[using]
    if connection.vendor not in FIND_TRIGGERS:
        return False
    with connection.cursor() as cursor:
        cursor.execute(FIND_TRIGGERS[connection.vendor])
        there = dict(cursor.fetchall())
    statements = _trigger_statements(connection.vendor)
    return all(name in there and there[name] in statement for name, statement in statements.items())


def before_migrate(using: str, plan: list[tuple[Any, bool]], **_: object) -> None:
    """Take the triggers away from tables that migrations are about to change.

    SQLite can't rename a table while a trigger elsewhere names it.
    """
    if any(migration.app_label in {"oauth2_provider", "tutorial"} for migration, _ in plan):
        _drop_triggers(connections[using])


def after_migrate(using: str, **_: object) -> None:
    """Make the indexes and triggers that are missing in the database `using`, or are of an older making.

    Nothing is made where the tables or columns aren't, as after a migration backwards.
    """
    connection = connections[using]
    if connection.vendor not in VALID_INDEXES:
        return
    _ensure_indexes(connection)
    if not triggers_are_there(using) and all(_has(connection, pairing) for pairing in PAIRINGS):
        _create_triggers(connection)


def _model(name: str) -> type[models.Model]:
    return apps.get_model("oauth2_provider", name)


def _columns(connection: BaseDatabaseWrapper, table: str) -> set[str]:
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return set()
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


def _has(connection: BaseDatabaseWrapper, pairing: Pairing) -> bool:
    names = pairing.tables
    return bool(
        _columns(connection, names["unpaired"])
        and _columns(connection, names["token"]) >= {"id", "expires"}
        and _columns(connection, names["holder"]) >= {names["column"]}
    )


def _ensure_indexes(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(VALID_INDEXES[connection.vendor])
        there = dict(cursor.fetchall())
    # Without blocking those who write to the table, which can't be done inside a transaction.
    concurrently = connection.vendor == "postgresql" and not connection.in_atomic_block
    options: dict[str, Any] = {"concurrently": True} if concurrently else {}
    for name, columns, index in INDEXES:
        model = _model(name)
        if there.get(index.name) or not _columns(connection, model._meta.db_table) >= columns:
            continue
        with connection.schema_editor(atomic=False) as editor:
            if index.name in there:  # an interrupted build leaves one that is of no use
                editor.execute(index.remove_sql(model, editor, **options), params=None)
            editor.execute(index.create_sql(model, editor, **options), params=None)


@cache
def _trigger_statements(vendor: str) -> dict[str, str]:
    """Return what creates each trigger, by its name."""
    statements = {}
    for pairing in PAIRINGS:
        for name, side, event, columns in pairing.triggers:
            keys = KEYS[vendor][event].format(key=columns[0], columns=", ".join(columns))
            # Whoever changes the token itself has locked its row.
            lock = LOCK if vendor == "postgresql" and side == "holder" else ""
            body = lock + BODIES[side, event]
            row = "NEW" if event == "insert" else "OLD"
            when = "" if event == "update" else f"WHEN ({row}.{columns[0]} IS NOT NULL)"
            statements[name] = TRIGGER[vendor].format(
                name=name,
                event=event,
                table=pairing.tables[side],
                rows=ROWS[event].format(when=when),
                of=f"OF {', '.join(columns)}" if event == "update" else "",
                when=when,
                body=body.format(keys=keys, or_ignore=OR_IGNORE[vendor], **pairing.tables),
            )
    return statements


def _drop_triggers(connection: BaseDatabaseWrapper) -> None:
    if connection.vendor not in FIND_TRIGGERS:
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for name in _trigger_statements(connection.vendor):
            if connection.vendor == "postgresql":
                cursor.execute(f"DROP FUNCTION IF EXISTS {name}() CASCADE")
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


def _create_triggers(connection: BaseDatabaseWrapper) -> None:
    """Create all triggers, and fill the lists with what is true at this moment."""
    _drop_triggers(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for statement in _trigger_statements(connection.vendor).values():
            cursor.execute(statement)
        # After the triggers: on PostgreSQL these have waited for every unfinished writer.
        for pairing in PAIRINGS:
            pairing.unpaired._default_manager.using(connection.alias).all().delete()
            cursor.execute(FILL.format(**pairing.tables))
