"""The part of <app>-backup that touches the database: run by manage.py shell, as the service user and in its sandbox.

Works in any Django project with django_celery_beat. Written by Ansible (role backup): changes here are overwritten.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


def oauth_model(name: str) -> str:
    """Return which model a project has for one of the toolkit's."""
    return str(getattr(settings, f"OAUTH2_PROVIDER_{name}_MODEL", f"oauth2_provider.{name.replace('_', '')}"))


# In the order in which they are told.
COUNTED = (
    settings.AUTH_USER_MODEL,
    *(oauth_model(name) for name in ("APPLICATION", "ACCESS_TOKEN", "REFRESH_TOKEN")),
    "django_celery_beat.PeriodicTask",
)
# What somebody gets in with, without a password.
SESSIONS = (
    *(oauth_model(name) for name in ("REFRESH_TOKEN", "ACCESS_TOKEN", "ID_TOKEN", "GRANT", "DEVICE_GRANT")),
    "sessions.Session",
)
STATE = Path(os.environ["STATE_DIRECTORY"])
# Of a restore: `files` are unpacked here, `old` ones are kept until the new data is in place.
UNPACKED = STATE / ".restore"
# libpq's names of what Django calls otherwise; none of them is secret.
LIBPQ = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "NAME": "PGDATABASE"}
LIBPQ_OPTIONS = {
    **{name: f"PG{name.upper()}" for name in ("service", "sslmode", "sslrootcert", "sslcert", "sslkey")},
    "connect_timeout": "PGCONNECT_TIMEOUT",
    # Of several hosts, the one that a primary is on.
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
# What a newer schema has and the backup hasn't would be in the way of migrations later on. What extensions and
# others own stays.
EMPTY = """
BEGIN;
SET LOCAL lock_timeout = '30s';
DO $$
DECLARE command text;
BEGIN
    FOR command IN
        SELECT format('DROP %s IF EXISTS %s CASCADE', kind, name) FROM (
            SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                       ELSE 'TABLE' END AS kind,
                   c.oid::regclass::text AS name, 'pg_class'::regclass AS catalog, c.oid AS id, relowner AS owner
                FROM pg_class c
                WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND relnamespace = current_schema()::regnamespace
            UNION ALL
            SELECT 'ROUTINE', p.oid::regprocedure::text, 'pg_proc'::regclass, p.oid, proowner
                FROM pg_proc p WHERE pronamespace = current_schema()::regnamespace
        ) AS found
        WHERE pg_has_role(owner, 'USAGE')
            AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE classid = catalog AND objid = id AND deptype = 'e')
        ORDER BY kind = 'TABLE' DESC, kind
    LOOP
        EXECUTE command;
    END LOOP;
END $$;
"""


def main(verb: str, given: str) -> None:
    """Do what a verb says; whatever the project prints goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    connection = connections["default"]
    if connection.vendor not in {"sqlite", "postgresql"}:
        sys.exit(f"only SQLite and PostgreSQL can be backed up, and this is {connection.vendor}.")
    verbs = {"dump": dump, "compare": compare, "unpack": unpack, "load": load}
    verbs[verb](output, json.loads(given))
    output.close()


def write_json(output: IO[bytes], value: object) -> None:
    """Write one line."""
    output.write(json.dumps(value).encode() + b"\n")
    output.flush()


# -- What is in the database -------------------------------------------------------------------------------------------


def known_migrations() -> set[tuple[str, str]]:
    """Return the migrations that the release has, and those that its squashed ones stand for."""
    found = MigrationLoader(None).disk_migrations
    return set(found) | {(app, name) for migration in found.values() for app, name in migration.replaces}


def applied_migrations() -> set[tuple[str, str]]:
    """Return the migrations that the database has."""
    recorder = MigrationRecorder(connections["default"])
    return set(recorder.applied_migrations()) if recorder.has_table() else set()


def counts() -> dict[str, int]:
    """Return how many rows there are of what matters most."""
    found = {}
    for name in COUNTED:
        with suppress(LookupError):
            model = apps.get_model(name)
            found[str(model._meta.verbose_name_plural)] = model._base_manager.using("default").count()
    return found


def contents() -> dict[str, Any]:
    """Return what the manifest says of the database."""
    # What the release doesn't know, an app that the project once had, doesn't matter to the next one either.
    migrations = applied_migrations() & known_migrations()
    if not migrations:
        sys.exit("the database has no migrations, so there is nothing in it to back up.")
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "engine": connections["default"].vendor,
        "migrations": {app: [n for a, n in sorted(migrations) if a == app] for app, _ in sorted(migrations)},
        "counts": counts(),
    }


def compare(output: IO[bytes], migrations: dict[str, list[str]]) -> None:
    """Hold a backup's migrations against the release's, and tell what the current data are."""
    connection, known = connections["default"], known_migrations()
    theirs = {(app, name) for app, names in migrations.items() for name in names}
    here: dict[str, Any] = {"engine": connection.vendor, "engine_version": 0, "counts": {}}
    # A database that is damaged or away is a reason to restore it.
    with suppress(Exception):
        if connection.vendor == "postgresql":
            here["engine_version"] = server_version()
        here["counts"] = counts()
    here["unknown"] = [".".join(key) for key in sorted(theirs - known)]
    # A squashed migration counts as applied once all are that it stands for.
    there = MigrationLoader(None).graph.nodes
    pending = [key for key in there if key not in theirs and not set(there[key].replaces or [key]) <= theirs]
    here["pending"] = [".".join(key) for key in sorted(pending)]
    write_json(output, here)


# -- Dump --------------------------------------------------------------------------------------------------------------


def dump(output: IO[bytes], given: dict[str, Any]) -> None:
    """Write one line of JSON on what is in the database, then the database, both of the same moment."""
    dumps: dict[str, Callable[..., None]] = {"sqlite": dump_sqlite, "postgresql": dump_postgresql}
    dumps[connections["default"].vendor](output, given["left_free"])


@contextmanager
def work_folder(database: Path) -> Iterator[Path]:
    """Yield a folder on the SQLite file's disk; what a killed run left is removed first."""
    # Not beside a file deeper in the state directory, whose folder a restore replaces.
    parent = STATE if STATE in database.parents else database.parent
    for left in parent.glob(".backup-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".backup-") as folder:
        yield Path(folder)


def need_room(folder: Path, size: int, left_free: int) -> None:
    """Refuse if a file of this size doesn't fit beside what has to stay free."""
    free = shutil.disk_usage(folder).free
    if free < size + left_free:
        sys.exit(f"{folder} has {free // 10**6} MB free and {(size + left_free) // 10**6} MB are needed.")


def sqlite_path() -> Path:
    """Return the path of the SQLite file."""
    name = str(connections["default"].settings_dict["NAME"])
    if name.startswith("file:") or ":memory:" in name:
        sys.exit("the SQLite database is not named by a path.")
    return Path(name)


def logs_of(path: Path) -> list[Path]:
    """Return the files that SQLite has beside a database that is open, or was when it was killed."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def use_file(path: Path) -> Any:
    """Make another SQLite file the default database, with the project's own options; return the connection."""
    current = connections["default"]
    current.close()
    connections["default"] = type(current)({**current.settings_dict, "NAME": str(path)}, alias="default")
    return connections["default"]


def one_value(sql: str, *parameters: Any) -> Any:
    """Return the only column of the only row of a query."""
    with connections["default"].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchone()[0]


def refuse_damage(what: str) -> None:
    """Stop if SQLite finds its file damaged."""
    said = one_value("PRAGMA integrity_check(1)")
    if said != "ok":
        sys.exit(f"{what} is damaged: {said}.")


def dump_sqlite(output: IO[bytes], left_free: int) -> None:
    """Dump a SQLite database while others write to it."""
    path = sqlite_path()
    if not path.exists():
        sys.exit(f"there is no file {path}.")
    with work_folder(path) as folder:
        copy = folder / "copy.sqlite3"
        need_room(folder, path.stat().st_size, left_free)
        mode = one_value("PRAGMA journal_mode")
        # A snapshot in one read transaction, for which nobody waits in WAL mode. Deleted rows don't come along.
        with connections["default"].cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(copy)])
        connection = use_file(copy)
        refuse_damage("the database")
        found = contents()
        one_value(f"PRAGMA journal_mode={mode}")
        connection.close()
        live = [str(log) for log in (path, *logs_of(path))]
        write_json(output, {**found, "engine_version": 0, "database_bytes": copy.stat().st_size, "live": live})
        with copy.open("rb") as file:
            shutil.copyfileobj(file, output)


@contextmanager
def libpq() -> Iterator[dict[str, str]]:
    """Yield the environment in which PostgreSQL's programs find the database; the password is in a private file."""
    found = connections["default"].settings_dict
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    environment |= {variable: str(found[name]) for name, variable in LIBPQ.items() if found.get(name)}
    options = found.get("OPTIONS", {})
    environment |= {variable: str(options[name]) for name, variable in LIBPQ_OPTIONS.items() if options.get(name)}
    # In the /tmp that only this unit sees and that goes with it.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        password = found.get("PASSWORD") or ""
        file.write("*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n")
        file.flush()
        yield {**environment, "PGPASSFILE": file.name}


def server_version() -> int:
    """Return PostgreSQL's major version."""
    return int(cast("Any", connections["default"]).pg_version) // 10000


def postgresql_program(name: str) -> str:
    """Return the path of the newest version on this host, which must not be older than the server."""
    found = {int(path.name): path / "bin" / name for path in Path("/usr/lib/postgresql").glob("[0-9]*")}
    usable = {version: path for version, path in found.items() if path.exists()}
    server = server_version()
    if max(usable, default=0) < server:
        have = f"the newest {name} here is {max(usable)}" if usable else f"there is no {name} here"
        sys.exit(f"the server is PostgreSQL {server} and {have}: install postgresql-client-{server}.")
    return str(usable[max(usable)])


def dump_postgresql(output: IO[bytes], left_free: int) -> None:
    """Dump a PostgreSQL database while others write to it."""
    with libpq() as environment, transaction.atomic():
        program = postgresql_program("pg_dump")
        with connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # pg_dump sees what this transaction sees, so the manifest is true.
        snapshot = one_value("SELECT pg_export_snapshot()")
        size = one_value("SELECT pg_database_size(current_database())")
        found = {"engine_version": server_version(), "database_bytes": size, "live": []}
        write_json(output, contents() | found)
        subprocess.run(
            [program, "--format=custom", "--no-password", f"--snapshot={snapshot}", "--lock-wait-timeout=60s"],
            env=environment,
            stdout=output,
            check=True,
        )


# -- Load --------------------------------------------------------------------------------------------------------------


def unpack(_output: IO[bytes], given: dict[str, Any]) -> None:
    """Unpack the files on standard input, on the disk of the state directory."""
    if (UNPACKED / "old").exists():
        put_back()
    shutil.rmtree(UNPACKED, ignore_errors=True)
    (UNPACKED / "files").mkdir(parents=True)
    need_room(STATE, given["size"], given["left_free"])
    options = [f"--directory={UNPACKED / 'files'}", f"--strip-components={given['depth']}", "--preserve-permissions"]
    done = subprocess.run(["/usr/bin/tar", "--extract", "--no-same-owner", *options], stdin=sys.stdin, check=False)
    if done.returncode:
        shutil.rmtree(UNPACKED)
        sys.exit(1)


def move(source: Path, target: Path) -> None:
    """Move what is in a folder, but for the live database and what runs work with."""
    database = sqlite_path() if connections["default"].vendor == "sqlite" else UNPACKED
    live = {UNPACKED, STATE / ".migrating", database, *logs_of(database)}
    for entry in list(source.iterdir()):
        if entry not in live and not entry.name.startswith(".backup-"):
            entry.rename(target / entry.name)


def put_back() -> None:
    """Put the files back that were there before a restore that broke off."""
    # Without this mark not all of the old ones were away yet, and no new one was there.
    if (UNPACKED / "moved").exists():
        move(STATE, UNPACKED / "files")
        (UNPACKED / "moved").unlink()
    move(UNPACKED / "old", STATE)
    (UNPACKED / "old").rmdir()


@contextmanager
def files_replaced(wanted: bool) -> Iterator[None]:
    """Put the unpacked files in the place of the current ones, which come back if what is done meanwhile fails."""
    if not wanted:
        yield
        return
    try:
        (UNPACKED / "old").mkdir()
        move(STATE, UNPACKED / "old")
        (UNPACKED / "moved").touch()
        move(UNPACKED / "files", STATE)
        yield
    except BaseException:
        put_back()
        raise
    shutil.rmtree(UNPACKED)


def load(output: IO[bytes], given: dict[str, Any]) -> None:
    """Replace the database by the one on standard input and the files by the unpacked ones; migrate the database."""
    if given["engine"] != connections["default"].vendor:
        sys.exit(f"the backup is {given['engine']}.")
    loads: dict[str, Callable[..., None]] = {"sqlite": load_sqlite, "postgresql": load_postgresql}
    try:
        loads[given["engine"]](output, given)
    finally:
        if not (UNPACKED / "old").exists():
            shutil.rmtree(UNPACKED, ignore_errors=True)


def adapt(given: dict[str, Any]) -> None:
    """Migrate to what the release wants, and end all sessions if that is wanted."""
    # Without anything to do, what the project ensures after each migrate is ensured.
    call_command("migrate", interactive=False, verbosity=0, database="default")
    for name in SESSIONS if given["ends_sessions"] else ():
        with suppress(LookupError):
            rows = apps.get_model(name)._base_manager.using("default")
            while keys := list(rows.values_list("pk", flat=True)[:5000]):
                rows.filter(pk__in=keys).delete()


def load_sqlite(output: IO[bytes], given: dict[str, Any]) -> None:
    """Prepare a new file beside the current one; its rename is the moment from which on it counts."""
    path = sqlite_path()
    with work_folder(path) as folder:
        need_room(folder, given["size"], given["left_free"])
        new = folder / "new.sqlite3"
        with new.open("xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        if new.stat().st_size != given["size"]:
            sys.exit("not all of it arrived.")
        use_file(new)
        refuse_damage("the backup's database")
        adapt(given)
        # The last one to close a file takes its log into it.
        connections["default"].close()
        if path.exists() and not given["discard"]:
            use_file(path)
            one_value("PRAGMA wal_checkpoint(TRUNCATE)")
            connections["default"].close()
        if not given["discard"] and any(log.exists() for log in logs_of(path)):
            sys.exit(f"another process has {path} open; stop it first.")
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        with files_replaced(given["files"]):
            # SQLite would play an old log into the new file.
            for log in logs_of(path):
                log.unlink(missing_ok=True)
            os.replace(new, path)
            os.sync()
    output.write(b"loaded\n")


def known_head(script: Iterable[bytes], known: set[bytes]) -> Iterator[bytes]:
    """Yield the script's lines up to its first command, without settings of which an older server knows nothing."""
    for line in script:
        words = line.split()
        if words[:1] != [b"SET"] or words[1] in known:
            yield line
        if words and not line.startswith((b"SET ", b"SELECT ", b"--", b"\\")):
            return


def load_postgresql(output: IO[bytes], given: dict[str, Any]) -> None:
    """Replace everything in one transaction, so that a failure leaves the current data."""
    program, psql = postgresql_program("pg_restore"), postgresql_program("psql")
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT name FROM pg_settings")
        known = {name.encode() for (name,) in cursor.fetchall()}
    connections["default"].close()
    # Without details and context, which hold rows.
    quiet = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"]
    with libpq() as environment:
        reader = subprocess.Popen(
            [program, "--clean", "--if-exists", "--no-owner", "--no-privileges", "--file=-"],
            env=environment,
            stdin=sys.stdin,
            stdout=subprocess.PIPE,
        )
        writer = subprocess.Popen(
            [psql, *quiet, "--output=/dev/null"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        script, database = cast("IO[bytes]", reader.stdout), cast("IO[bytes]", writer.stdin)
        with suppress(BrokenPipeError):
            database.write(EMPTY.encode())
            database.writelines(known_head(script, known))
            shutil.copyfileobj(script, database)
            # Only now: an end of input without it, whatever killed whom, rolls everything back.
            if reader.wait() == 0:
                database.write(b"\nCOMMIT;\n")
        with suppress(BrokenPipeError):
            database.close()
        script.close()
        if writer.wait() or reader.wait():
            sys.exit(1)
    output.write(b"loaded\n")
    output.flush()
    with files_replaced(given["files"]):
        adapt(given)
    with connections["default"].cursor() as cursor:
        cursor.execute("ANALYZE")
