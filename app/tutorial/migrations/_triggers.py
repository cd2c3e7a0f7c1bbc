"""The triggers of an earlier clean-up, by which the toolkit's tables kept the lists of 0001."""

from django.db import connections

# Of PostgreSQL, the functions that take their triggers along.
FIND = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tutorial_unpaired_%'",
    "postgresql": """SELECT proname FROM pg_proc
        WHERE proname LIKE 'tutorial_unpaired_%' AND pg_function_is_visible(oid)""",
}
DROP = {"sqlite": "DROP TRIGGER {}", "postgresql": "DROP FUNCTION {}() CASCADE"}


def drop_triggers(using: str, **_: object) -> None:
    """Drop them in the database `using`, one by one, so that no two tables are locked at a time.

    A receiver of `pre_migrate`: SQLite can't rebuild a table while a trigger elsewhere names it, and the
    toolkit's migrations run before this project's.
    """
    connection = connections[using]
    if connection.vendor not in FIND:
        return
    with connection.cursor() as cursor:
        cursor.execute(FIND[connection.vendor])
        for (name,) in cursor.fetchall():
            cursor.execute(DROP[connection.vendor].format(name))
