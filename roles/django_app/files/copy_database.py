"""Copy a SQLite file into an empty PostgreSQL database; run by manage.py shell. Prints one JSON line.

Standard input: JSON with verb and path (of the SQLite file).

look      with the settings in use: vendor, and for SQLite path, bytes, tables (rows by name) and refused (why it can't
          be moved, or nothing); for PostgreSQL copied (bool: a copy is complete, and not settled yet).
rehearse  with settings that name PostgreSQL: makes the tables by `migrate`, copies all rows and takes them back.
copy      as above, for good, while no other process writes into the file.
settle    drops the mark by which what a move that was interrupted left is known.
forget    removes the file.

rehearse and copy print refused, rows (by table), left (sentences on what isn't copied), sequences (how many) and
seconds. Rows are copied as they are, without the project's models: no signal, default or `auto_now` changes them.
"""

import json
import os
import re
import sqlite3
import sys
import time
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.db.backends.utils import truncate_name
from django.db.migrations.executor import MigrationExecutor

# Of moves that weren't finished: what is in such a database is a copy.
MARK = "move_to_postgresql"
# What isn't an extension's.
TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
ORDER BY 1
"""
COLUMNS = """
SELECT table_name, column_name, data_type, coalesce(pg_get_serial_sequence(quote_ident(table_name), column_name), '')
FROM information_schema.columns
WHERE table_schema = current_schema() AND is_generated = 'NEVER' ORDER BY table_name, ordinal_position
"""
# Views and functions that migrations made, too; what extensions own stays.
EMPTY = """
DO $$
DECLARE command text;
BEGIN
    FOR command IN
        SELECT format('DROP %s IF EXISTS %s CASCADE', kind, name) FROM (
            SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                       ELSE 'TABLE' END AS kind,
                   c.oid::regclass::text AS name, 'pg_class'::regclass AS catalog, c.oid AS id
                FROM pg_class c
                WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND relnamespace = current_schema()::regnamespace
            UNION ALL
            SELECT 'ROUTINE', p.oid::regprocedure::text, 'pg_proc'::regclass, p.oid
                FROM pg_proc p WHERE pronamespace = current_schema()::regnamespace
            UNION ALL
            SELECT 'TYPE', t.oid::regtype::text, 'pg_type'::regclass, t.oid
                FROM pg_type t WHERE typnamespace = current_schema()::regnamespace AND typtype IN ('e', 'd')
        ) AS found
        WHERE NOT EXISTS (SELECT FROM pg_depend WHERE classid = catalog AND objid = id AND deptype = 'e')
        ORDER BY kind = 'TABLE' DESC, kind = 'TYPE', kind
    LOOP
        EXECUTE command;
    END LOOP;
END $$;
"""


def name(identifier: str) -> str:
    """Return a name for SQL."""
    return '"' + identifier.replace('"', '""') + '"'


def ask(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query in the settings' database."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def tables_there() -> list[str]:
    """Return the tables of the settings' database, PostgreSQL."""
    return [table for (table,) in ask(TABLES)]


def pending_migrations() -> list[Any]:
    """Return what `migrate` would apply to the settings' database."""
    executor = MigrationExecutor(connection)
    return [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


# -- The SQLite file ------------------------------------------------------------------------------------------------


def opened(path: str) -> sqlite3.Connection:
    """Open the file, which must be there."""
    file = sqlite3.connect(f"{Path(path).as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=20)
    # Read as bytes, since SQLite holds whatever somebody stored as a text.
    file.text_factory = bytes
    return file


def tables_of(file: sqlite3.Connection) -> list[str]:
    """Return the tables with rows of their own; a virtual one keeps its rows in others."""
    kinds = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    found = {one.decode(): sql or b"" for one, sql in kinds if not one.startswith(b"sqlite_")}
    virtual = [one for one, sql in found.items() if sql.upper().startswith(b"CREATE VIRTUAL")]
    return sorted(one for one in found if not any(one == v or one.startswith(f"{v}_") for v in virtual))


def count(file: sqlite3.Connection, table: str) -> int:
    """Return the number of rows."""
    return int(file.execute(f"SELECT count(*) FROM {name(table)}").fetchone()[0])


def look() -> dict[str, Any]:
    """Tell what the settings' database is, and whether it can be moved."""
    path = str(connection.settings_dict["NAME"])
    found: dict[str, Any] = {"vendor": connection.vendor, "path": path, "bytes": 0, "tables": {}, "refused": ""}
    if connection.vendor == "postgresql":
        return found | {"copied": MARK in tables_there() and ask(f"SELECT 1 FROM {MARK} WHERE complete") != []}
    if connection.vendor != "sqlite":
        return found | {"refused": f"The app's database is {connection.vendor}, from which nothing is moved."}
    if not Path(path).is_file():
        return found | {"refused": f"There is no SQLite file {path}, so there is nothing to move."}
    found["bytes"] = sum(Path(one).stat().st_size for one in (path, f"{path}-wal") if Path(one).exists())
    with closing(opened(path)) as file:
        try:
            damage = file.execute("PRAGMA quick_check(1)").fetchone()[0].decode()
            dangling = []
            # Of a key that the schema itself has wrong: PostgreSQL says more.
            with suppress(sqlite3.OperationalError):
                dangling = file.execute("PRAGMA foreign_key_check").fetchall()
            found["tables"] = {table: count(file, table) for table in tables_of(file)}
        except sqlite3.DatabaseError as error:
            return found | {"refused": f"{path} can't be read: {error}; restore a backup first."}
    if damage != "ok":
        found["refused"] = f"{path} is damaged ({damage}); restore a backup first."
    elif dangling:
        pairs = sorted({(table.decode(), parent.decode()) for table, _row, parent, _key in dangling})
        said = ", ".join(f"{table} to {parent}" for table, parent in pairs)
        found["refused"] = (
            f"{len(dangling)} rows refer to others that are gone ({said}), which PostgreSQL doesn't take; "
            "PRAGMA foreign_key_check lists them."
        )
    elif pending_migrations():
        found["refused"] = "The release has migrations that the SQLite file lacks; run site.yml with SQLite first."
    return found


# -- The copy -------------------------------------------------------------------------------------------------------


def rehearse(path: str) -> dict[str, Any]:
    """Make the tables, copy and take it back; what an earlier move left goes first."""
    there = tables_there()
    if there and MARK not in there:
        where = "{NAME} on {HOST}".format(**{k: v or "this host" for k, v in connection.settings_dict.items()})
        shown = ", ".join(there[:5]) + (f" and {len(there) - 5} more" if len(there) > 5 else "")
        return {
            "refused": f"The database {where} isn't empty, it has the tables {shown}; drop it and create it again if "
            "nobody needs what is in it, or name another one in django_app_database_url."
        }
    if there:
        ask(EMPTY)
    ask(f"CREATE TABLE {MARK} (complete boolean)")
    call_command("migrate", interactive=False, verbosity=0, database="default")
    return transfer(path, keep=False)


def copy(path: str) -> dict[str, Any]:
    """Copy for good."""
    if MARK not in tables_there():
        return {"refused": "The database isn't one that was made for the move."}
    told = transfer(path, keep=True)
    if not told["refused"]:
        ask("ANALYZE")
        # Without anything to do, what the project ensures after each migrate is ensured.
        call_command("migrate", interactive=False, verbosity=0, database="default")
    return told


def transfer(path: str, keep: bool) -> dict[str, Any]:
    """Copy all tables in one transaction, check them, and keep them or not."""
    began = time.monotonic()
    types: dict[str, dict[str, str]] = {}
    sequences = []
    for table, column, kind, sequence in ask(COLUMNS):
        types.setdefault(table, {})[column] = kind
        sequences += [(table, column, sequence)] if sequence else []
    targets = [table for table in tables_there() if table != MARK]
    told: dict[str, Any] = {"refused": "", "rows": {}, "left": [], "sequences": 0}
    connection.set_autocommit(False)
    try:
        with closing(opened(path)) as file:
            # Others may go on reading.
            file.execute("BEGIN IMMEDIATE" if keep else "BEGIN")
            ask(f"TRUNCATE {', '.join(map(name, targets))}")
            names = {table: next((one for one in names_there(table) if one in types), "") for table in tables_of(file)}
            for table, target in names.items():
                told["refused"] = copy_table(file, table, target, types.get(target, {}), told)
                if told["refused"]:
                    return told
            try:
                ask("SET CONSTRAINTS ALL IMMEDIATE")
            except Exception as error:  # psycopg's, by way of Django
                told["refused"] = f"Rows don't fit together: {primary(error)}."
                return told
            given = {names.get(table, ""): number for table, number in highest_given(file).items()}
            for target, column, sequence in sequences:
                if target in names.values():
                    go_on(target, column, sequence, given.get(target, 0))
                    told["sequences"] += 1
        if pending := pending_migrations():
            told["refused"] = f"The copy lacks migrations, for example {pending[0]}."
            return told
        if keep:
            ask(f"INSERT INTO {MARK} VALUES (true)")
            connection.commit()
        told["seconds"] = round(time.monotonic() - began, 1)
        return told
    finally:
        connection.rollback()
        connection.set_autocommit(True)


def copy_table(file: sqlite3.Connection, table: str, target: str, types: dict[str, str], told: dict[str, Any]) -> str:
    """Copy one table and count; return what went wrong, or nothing, without what is in a row."""
    total = count(file, table)
    ours = [column.decode() for _, column, *_ in file.execute(f"PRAGMA table_info({name(table)})")]
    if not types or "tsvector" in types.values() or not set(ours) <= set(types):
        if total:
            why = "that the release doesn't make on PostgreSQL"
            if "tsvector" in types.values():
                why = "which is a search index: let the project make it again"
            elif types:
                lacking = ", ".join(sorted(set(ours) - set(types)))
                return f"{table} has columns that it lacks on PostgreSQL ({lacking})."
            told["left"].append(f"{table} ({total} rows), {why}")
        return ""
    done = 0
    columns = ", ".join(map(name, ours))
    kinds = [types[column] for column in ours]
    try:
        statement = f"COPY {name(target)} ({columns}) FROM STDIN"
        with connection.connection.cursor() as cursor, cursor.copy(statement) as rows:
            for row in file.execute(f"SELECT {columns} FROM {name(table)}"):
                rows.write_row([value(kind, one) for kind, one in zip(kinds, row, strict=True)])
                done += 1
    except Exception as error:  # psycopg's and SQLite's, and what a value says that is none of its type
        context = getattr(getattr(error, "diag", None), "context", None) or ""
        place = re.search(r"COPY .*, line (\d+)(?:, column (\w+))?", context)
        number = int(place[1]) if place else done + 1
        column = f", column {place[2]}" if place and place[2] else ""
        return f"Row {number} of {table}{column} doesn't fit: {primary(error)}."
    here = ask(f"SELECT count(*) FROM {name(target)}")[0][0]
    if not total == done == here:
        return f"{table} has {total} rows, of which {done} were read and {here} arrived."
    told["rows"][table] = total
    return ""


def value(kind: str, found: Any) -> Any:
    """Return what Django's SQLite has as PostgreSQL takes it in its text format."""
    if found is None or kind == "bytea":
        return found
    if isinstance(found, bytes):
        found = found.decode()
    # Microseconds.
    return timedelta(microseconds=found) if kind == "interval" and isinstance(found, int) else found


def primary(error: Exception) -> str:
    """Return what the server says of an error, without its details: they hold rows."""
    cause = error.__cause__ or error
    said = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause).splitlines()[0]
    return said.rstrip(".")


def highest_given(file: sqlite3.Connection) -> dict[str, int]:
    """Return the highest number that each table has given, whether its row is still there or not."""
    if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        return {}
    return {table.decode(): number for table, number in file.execute("SELECT name, seq FROM sqlite_sequence")}


def names_there(table: str) -> tuple[str, ...]:
    """Return how PostgreSQL may call a table: a long name is shortened by Django, or by PostgreSQL itself."""
    longest = connection.ops.max_name_length()
    return table, truncate_name(table, longest), table.encode()[:longest].decode(errors="ignore")


def go_on(table: str, column: str, sequence: str, given: int) -> None:
    """Let a sequence go on after the highest number."""
    highest = ask(f"SELECT coalesce(max({name(column)}), 0) FROM {name(table)}")[0][0]
    ask("SELECT setval(%s, greatest(%s, 1), %s > 0)", sequence, max(highest, given), max(highest, given))


def main() -> dict[str, Any]:
    """Do what a verb says."""
    given = json.load(sys.stdin)
    if given["verb"] == "look":
        return look()
    if connection.vendor != "postgresql":
        return {"refused": f"The database of the inventory is {connection.vendor}, not PostgreSQL."}
    if given["verb"] == "settle":
        ask(f"DROP TABLE IF EXISTS {MARK}")
    elif given["verb"] == "forget":
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(given["path"] + suffix).unlink(missing_ok=True)
    else:
        return {"rehearse": rehearse, "copy": copy}[given["verb"]](given["path"])
    return {"refused": ""}


# What the project prints goes to standard error.
output = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
print(json.dumps(main()), file=output, flush=True)
