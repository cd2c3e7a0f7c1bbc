"""What no migration makes: indexes that the clean-up needs on django-oauth-toolkit's tables, and the cache's.

The indexes aren't part of the toolkit's migration state, where `makemigrations` would want to remove them.
But a table that SQLite rebuilds in one of the toolkit's migrations loses them silently, so they are ensured
after every `migrate`; what is there already costs a few queries.
"""

from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connections
from django.db.models import Index, Q

INDEXES = {
    "AccessToken": [Index(fields=["expires"], name="tutorial_access_expires")],
    "IDToken": [Index(fields=["expires"], name="tutorial_id_expires")],
    "Grant": [Index(fields=["expires"], name="tutorial_grant_expires")],
    # Partial ones: some refresh tokens are revoked, next to none has lost its access token otherwise.
    "RefreshToken": [
        Index(fields=["revoked"], name="tutorial_refresh_revoked", condition=Q(revoked__isnull=False)),
        # SQLite needs the first two to prefer it to the toolkit's index, PostgreSQL the third's order.
        Index(
            fields=["access_token", "revoked", "id"],
            name="tutorial_refresh_orphan",
            condition=Q(revoked__isnull=True, access_token__isnull=True),
        ),
    ],
}
# Each with whether it is of use: an interrupted build leaves one that isn't.
FIND_INDEXES = {
    "sqlite": "SELECT name, 1 FROM sqlite_master WHERE type = 'index'",
    "postgresql": """SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE pg_table_is_visible(pg_class.oid)""",
}


def ensure_indexes(using: str, **_: object) -> None:
    """Create the indexes that are missing in the database `using`, where it has their tables and columns."""
    connection = connections[using]
    if connection.vendor not in FIND_INDEXES:
        return
    with connection.cursor() as cursor:
        cursor.execute(FIND_INDEXES[connection.vendor])
        there = dict(cursor.fetchall())
        tables = connection.introspection.table_names(cursor)
    # Without blocking those who write to the table, which can't be done inside a transaction.
    concurrently = connection.vendor == "postgresql" and not connection.in_atomic_block
    options: dict[str, Any] = {"concurrently": True} if concurrently else {}
    for name, indexes in INDEXES.items():
        model = apps.get_model("oauth2_provider", name)
        for index in indexes:
            if there.get(index.name) or model._meta.db_table not in tables:
                continue
            with connection.schema_editor(atomic=False) as editor:
                if index.name in there:
                    editor.execute(index.remove_sql(model, editor, **options), params=None)
                editor.execute(index.create_sql(model, editor, **options), params=None)


def ensure_cache_table(using: str, **_: object) -> None:
    """Create the table in which attempts to log in are counted, if the database `using` lacks it."""
    call_command("createcachetable", database=using, verbosity=0)
