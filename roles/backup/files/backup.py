"""Back up an installation into one file, or restore it from one; `<app>-backup` calls it as root.

Written by Ansible (role backup): changes here are overwritten. It never opens the live database itself: what does is
backup_database.py, run by `<app>-manage` as the service user and in the services' sandbox.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

FORMAT = 1
STAMP = "%Y%m%dT%H%M%SZ"
LIBRARY = Path(__file__).resolve().parent
CHUNK = 1024 * 1024
# Above the broker's disk_free_limit of 512 MB, below which it blocks whoever publishes.
LEFT_FREE = 600 * 1000 * 1000
# Definitions hold their place in the database of the broker; a boot may be under way.
BROKER_SECONDS = 60
LOCK_SECONDS = 600

Manifest = dict[str, Any]


class RefusedError(Exception):
    """What was asked for can't be done; the text says why and what to do."""


class Settings(NamedTuple):
    """What /etc/<app>/backup.json says."""

    app: str
    folder: str
    kept_days: int
    age_recipient: str
    # The app's own user of the broker on this host; empty if the broker is elsewhere.
    broker_user: str

    @property
    def manage(self) -> str:
        """The command that runs manage.py as the service user."""
        return f"/usr/local/bin/{self.app}-manage"

    @property
    def credentials(self) -> Path:
        """The folder with the app's secrets."""
        return Path(f"/etc/{self.app}/credentials")

    def release(self) -> str:
        """Return the id of the current release."""
        try:
            return Path(os.readlink(f"/opt/{self.app}/current")).name
        except FileNotFoundError:
            raise RefusedError(f"{self.app} has no current release yet, so there is nothing to back up.") from None


# -- One backup --------------------------------------------------------------------------------------------------------


def digest(file: IO[bytes], size: int | None = None, to: IO[bytes] | None = None) -> tuple[int, str]:
    """Read a file to its end, but no more than `size` and a chunk; return its length and SHA-256."""
    length, hashed = 0, hashlib.sha256()
    while chunk := file.read(CHUNK):
        length += len(chunk)
        hashed.update(chunk)
        if to:
            to.write(chunk)
        if size is not None and length > size:
            break
    return length, hashed.hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Return what a backup says of itself, without checking the rest of it."""
    try:
        with gzip.open(path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            return _manifest_in(archive)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise RefusedError(f"{path.name} is damaged or no backup: {error}.") from None


def _manifest_in(archive: tarfile.TarFile) -> Manifest:
    first = archive.next()
    file = archive.extractfile(first) if first and first.name == "manifest.json" else None
    if file is None:
        raise tarfile.ReadError("it doesn't begin with manifest.json")
    try:
        manifest: Manifest = json.loads(file.read(CHUNK * 64))
        if manifest["format"] != FORMAT:
            raise tarfile.ReadError(f"its format is {manifest['format']}, and this program knows {FORMAT}")
    except (ValueError, TypeError, KeyError):
        raise tarfile.ReadError("its manifest.json can't be read") from None
    return manifest


def verify(path: Path, database: IO[bytes] | None = None, others: Path | None = None) -> Manifest:
    """Return the manifest of a backup that is whole.

    Args:
        path: the backup.
        database: where the database is written to while it is read.
        others: a folder for the other parts.

    Raises:
        RefusedError: it is truncated, changed or no backup.
    """
    with contextlib.ExitStack() as stack:
        if database is None:
            database = stack.enter_context(tempfile.NamedTemporaryFile(prefix="backup-"))
        try:
            plain = stack.enter_context(gzip.open(path))
            with tarfile.open(fileobj=plain, mode="r|") as archive:
                manifest = _manifest_in(archive)
                _verify_parts(archive, {part["name"]: part for part in manifest["parts"]}, database, others)
            # To the end, where gzip's own checksum is: it covers the manifest too.
            while plain.read(CHUNK):
                pass
        except FileNotFoundError:
            raise RefusedError(f"There is no file {path}.") from None
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise RefusedError(f"{path.name} is damaged or no backup: {error}.") from None
        database.flush()
        if manifest["engine"] == "sqlite":
            _check_sqlite(path.name, database.name)
    return manifest


def _verify_parts(
    archive: tarfile.TarFile, wanted: dict[str, dict[str, Any]], database: IO[bytes], others: Path | None
) -> None:
    while member := archive.next():
        part, file = wanted.pop(member.name, None), archive.extractfile(member)
        if part is None or file is None:
            raise tarfile.ReadError(f"it holds {member.name}, which its manifest doesn't name")
        with contextlib.ExitStack() as stack:
            to: IO[bytes] | None = None
            if member.name.startswith("database."):
                to = database
            elif others:
                to = stack.enter_context((others / Path(member.name).name).open("wb"))
            if digest(file, part["size"], to) != (part["size"], part["sha256"]):
                raise tarfile.ReadError(f"{member.name} isn't what was backed up")
    if wanted:
        raise tarfile.ReadError(f"it lacks {', '.join(wanted)}")


def _check_sqlite(name: str, path: str) -> None:
    # quick_check, because a full one needs the functions that Django brings for constraints and indexes.
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA ignore_check_constraints=ON")
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said != "ok":
        raise RefusedError(f"The database in {name} is damaged: {said}.")


def describe(manifest: Manifest) -> str:
    """Return one line on what a backup holds."""
    counts = tell(manifest["counts"])
    reason = f", {manifest['reason']}" if manifest["reason"] else ""
    return (
        f"{manifest['app']} of {manifest['created']} on {manifest['host']}, release {manifest['release']}, "
        f"{manifest['engine']}{reason} ({counts})"
    )


def tell(counts: dict[str, int]) -> str:
    """Return the numbers of rows for a person."""
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


# -- The folder of backups ---------------------------------------------------------------------------------------------


def backups(settings: Settings) -> list[tuple[datetime, Path]]:
    """Return the backups with their moments, oldest first."""
    pattern = re.compile(re.escape(settings.app) + r"-(\d{8}T\d{6}Z)-.+\.tar\.gz")
    found = [(pattern.fullmatch(path.name), path) for path in Path(settings.folder).iterdir()]
    return sorted((datetime.strptime(match[1], STAMP).replace(tzinfo=UTC), path) for match, path in found if match)


def remove_old(settings: Settings) -> None:
    """Remove backups that are older than is kept; the newest stays whatever its age."""
    limit = datetime.now(UTC) - timedelta(days=settings.kept_days)
    for moment, path in backups(settings)[:-1]:
        if moment < limit:
            path.unlink()
            say(f"Removed {path.name}, which is older than {settings.kept_days} days.")


def listed(settings: Settings) -> list[dict[str, Any]]:
    """Return the backups for people and programs, oldest first."""
    rows = []
    for moment, path in backups(settings):
        row = {"name": path.name, "created": f"{moment:%Y-%m-%d %H:%M:%S} UTC", "bytes": path.stat().st_size}
        try:
            manifest = read_manifest(path)
            row |= {"release": manifest["release"], "reason": manifest["reason"]}
        except RefusedError:
            row |= {"release": "", "reason": "DAMAGED"}
        rows.append(row)
    return rows


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[Path]:
    """Be the only run at work; yield a folder for it, of which nothing stays, not even after a kill."""
    folder = Path(settings.folder)
    with (folder / ".lock").open("w") as lock:
        for waited in range(LOCK_SECONDS + 1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited == 0:
                    say("Another run is at work: waiting for it.")
                if waited == LOCK_SECONDS:
                    raise RefusedError(f"Another run is still at work after {LOCK_SECONDS} seconds.") from None
                time.sleep(1)
        for left in folder.glob(".work-*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".work-") as work:
            yield Path(work)


def need_room(folder: Path, size: int, times: int) -> None:
    """Refuse if so many times the size doesn't fit, with enough left over for the others on this disk."""
    free, needed = shutil.disk_usage(folder).free, times * size + LEFT_FREE
    if free < needed:
        raise RefusedError(
            f"{folder.parent if folder.name.startswith('.') else folder} has {free // 10**6} MB free and "
            f"{needed // 10**6} MB are needed; {LEFT_FREE // 10**6} of them stay free, so that the broker goes on."
        )


# -- Back up -----------------------------------------------------------------------------------------------------------


def in_sandbox(settings: Settings, verb: str, given: dict[str, Any], **streams: Any) -> subprocess.Popen[bytes]:
    """Start backup_database.py as the service user."""
    code = (
        f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); sys.dont_write_bytecode = True\n"
        f"import backup_database; backup_database.main({verb!r}, {json.dumps(given)!r})"
    )
    return subprocess.Popen([settings.manage, "shell", "--verbosity=0", "--command", code], **streams)


def refuse_with(message: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> NoReturn:
    """Raise what the sandboxed process said last."""
    process.wait()
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
    raise RefusedError(f"{message}: {lines[-1]}")


def make_backup(settings: Settings, work: Path, reason: str) -> Path:
    """Write a backup and return its path; until it is whole and safe on disk it has another name."""
    release = settings.release()
    parts = work / "parts"
    parts.mkdir()
    manifest: Manifest = {
        "format": FORMAT,
        "app": settings.app,
        "release": release,
        "created": "",
        "host": os.uname().nodename,
        "reason": " ".join(reason.split()),
    }
    manifest |= dump_database(settings, parts)
    if settings.broker_user:
        (parts / "broker_definitions.json").write_bytes(export_definitions())
    if settings.age_recipient:
        encrypt_credentials(settings, parts / "secrets.age")
    manifest["parts"] = []
    for path in sorted(parts.iterdir()):
        with path.open("rb") as file:
            size, sha256 = digest(file)
        manifest["parts"].append({"name": path.name, "size": size, "sha256": sha256})

    partial = work / "partial.tar.gz"
    with partial.open("xb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            add(archive, "manifest.json", json.dumps(manifest, indent=2).encode())
            for path in sorted(parts.iterdir()):
                archive.add(path, path.name, filter=_as_root)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(parts)
    # Read back as a restore would: a disk that lies is noticed today.
    with (work / "database").open("w+b") as database:
        verify(partial, database)
    (work / "database").unlink()

    moment = datetime.fromisoformat(manifest["created"])
    final = Path(settings.folder) / f"{settings.app}-{moment:{STAMP}}-{release}.tar.gz"
    os.rename(partial, final)
    sync_folder(final.parent)
    return final


def sync_folder(folder: Path) -> None:
    """Bring a rename to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Put a text into an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
    archive.addfile(info, io.BytesIO(content))


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o600
    return info


def dump_database(settings: Settings, parts: Path) -> Manifest:
    """Write the database and its schedule into the folder; return what the manifest says of them."""
    with tempfile.TemporaryFile() as errors:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": errors}
        process = in_sandbox(settings, "dump", {"left_free": LEFT_FREE}, **streams)
        copied = cast("IO[bytes]", process.stdout)
        try:
            # One line of JSON, then the database.
            said: Manifest = json.loads(copied.readline() or "null")
            if said is None:
                refuse_with("The database can't be backed up", process, errors)
            need_room(parts.parent, said.pop("size"), 2)
            schedule = said.pop("schedule")
            (parts / "schedule.json").write_text(json.dumps(schedule, indent=2) + "\n", encoding="utf-8")
            suffix = {"sqlite": "sqlite3", "postgresql": "pgdump"}[said["engine"]]
            with (parts / f"database.{suffix}").open("xb") as file:
                shutil.copyfileobj(copied, file, CHUNK)
        finally:
            copied.close()
            process.wait()
        if process.returncode:
            refuse_with("The database can't be backed up", process, errors)
    return said


def rabbitmqctl(*arguments: str) -> bytes:
    """Run rabbitmqctl, and return its output."""
    command = ["rabbitmqctl", "--quiet", f"--timeout={BROKER_SECONDS}", *arguments]
    # rabbitmqctl minds its own timeout only once it is connected.
    limit = 2 * BROKER_SECONDS
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise RefusedError(f"rabbitmqctl {arguments[0]} took more than {limit} seconds.") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {error.returncode}"]
        raise RefusedError(f"rabbitmqctl {arguments[0]} failed: {' '.join(lines)}") from None
    return done.stdout


def export_definitions() -> bytes:
    """Return users, virtual hosts, policies, queues of the broker on this host."""
    definitions = rabbitmqctl("export_definitions", "-", "--format=json")
    return definitions[definitions.index(b"{") :]


def encrypt_credentials(settings: Settings, path: Path) -> None:
    """Write the credentials into a file that only the recipient's key opens."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        archive.add(settings.credentials, "credentials")
    with path.open("xb") as file:
        command = ["age", "--encrypt", "--recipient", settings.age_recipient]
        done = subprocess.run(command, input=plain.getvalue(), stdout=file, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise RefusedError(f"age refused backup_age_recipient: {done.stderr.decode(errors='replace').strip()}")


# -- Restore -----------------------------------------------------------------------------------------------------------


def plan(settings: Settings, manifest: Manifest) -> str:
    """Return what a restore of this backup would do here.

    Raises:
        RefusedError: the backup doesn't fit.
    """
    if manifest["app"] != settings.app:
        raise RefusedError(f"It is a backup of {manifest['app']}, and {settings.app} is installed here.")
    release = settings.release()
    with tempfile.TemporaryFile() as errors:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": errors}
        process = in_sandbox(settings, "compare", manifest["migrations"], **streams)
        output, _ = process.communicate()
        if process.returncode:
            refuse_with("The installed release can't be asked what it knows", process, errors)
    here = json.loads(output)
    if here["engine"] != manifest["engine"]:
        raise RefusedError(f"Its database is {manifest['engine']}, and {settings.app} uses {here['engine']} here.")
    if here["engine_version"] and manifest["engine_version"] > here["engine_version"]:
        raise RefusedError(
            f"It comes from PostgreSQL {manifest['engine_version']}, and the server here is the older "
            f"{here['engine_version']}."
        )
    if here["unknown"]:
        raise RefusedError(
            f"Its schema is newer than release {release}, which doesn't know {', '.join(here['unknown'])}: "
            f"deploy release {manifest['release']} or a later one first."
        )
    present = tell(here["counts"]) or "a database that can't be read"
    lines = [f"The backup is {describe(manifest)}.", f"It replaces the present data: {present}."]
    if here["pending"]:
        lines.append(f"It is older than release {release}; these run on it: {', '.join(here['pending'])}.")
    return "\n".join(lines)


def restore(settings: Settings, work: Path, path: Path, *, discard_present: bool) -> None:
    """Put the data of a backup in the place of the present, which stays if anything goes wrong."""
    active = [
        unit
        for unit in (f"{settings.app}-{service}.service" for service in ("web", "worker", "beat"))
        if subprocess.run(["systemctl", "--quiet", "is-active", unit], check=False).returncode == 0
    ]
    if active:
        raise RefusedError(f"{', '.join(active)} would go on with the old data; playbooks/restore.yml stops them.")
    others = work / "others"
    others.mkdir()
    need_room(work, sum(part["size"] for part in read_manifest(path)["parts"]), 1)
    with (work / "restored").open("w+b") as database:
        manifest = verify(path, database, others)
        say(plan(settings, manifest))
        safety = None
        if not discard_present:
            try:
                (work / "safety").mkdir()
                safety = make_backup(settings, work / "safety", f"before restoring {path.name}")
            except RefusedError as error:
                raise RefusedError(
                    f"The present data can't be kept: {error} To give them up, add "
                    "-e backup_restore_discard_present=true."
                ) from None
            say(f"The present data are kept in {safety}.")
        # Before the database: what it adds harms nobody if the rest fails.
        if settings.broker_user and (others / "broker_definitions.json").exists():
            import_definitions(settings, (others / "broker_definitions.json").read_bytes())
        database.seek(0)
        load(settings, work, database, manifest, safety)


def load(settings: Settings, work: Path, database: IO[bytes], manifest: Manifest, safety: Path | None) -> None:
    """Load the database; if the migrations fail that follow, load the safety backup."""
    size = os.fstat(database.fileno()).st_size
    given = {"size": size, "left_free": LEFT_FREE, "engine": manifest["engine"], "discard_present": safety is None}
    with tempfile.TemporaryFile() as errors:
        process = in_sandbox(settings, "load", given, stdin=database, stdout=subprocess.PIPE, stderr=errors)
        said, _ = process.communicate()
        if process.returncode == 0:
            return
        # Printed when the new data are in place: from then on only another load brings the old ones back.
        if b"loaded" in said.split():
            if safety is None:
                refuse_with("The backup is loaded, but its migrations failed", process, errors)
            with (work / "before").open("w+b") as before:
                older = verify(safety, before)
                before.seek(0)
                load(settings, work, before, older, None)
        refuse_with("The present data stay, because the backup can't be loaded", process, errors)


def wanted_definitions(found: dict[str, Any], broker_user: str) -> dict[str, Any]:
    """Return what a broker gets back: all but the app's own user, whose password the inventory has."""
    own = {broker_user, "guest"}
    # A cluster's name and identity are the host's own.
    wanted = {name: rows for name, rows in found.items() if name != "global_parameters"}
    wanted["users"] = [user for user in found["users"] if user["name"] not in own]
    for name in ("permissions", "topic_permissions"):
        wanted[name] = [row for row in found.get(name, []) if row["user"] not in own]
    # An export has bindings of exclusive queues, which went with their connections; an import fails at them.
    there = {(row["vhost"], row["name"], kind) for kind in ("queue", "exchange") for row in found[f"{kind}s"]}
    wanted["bindings"] = [
        row for row in found["bindings"] if (row["vhost"], row["destination"], row["destination_type"]) in there
    ]
    # Parameters belong to plugins, which may not be enabled here; limits of virtual hosts don't.
    wanted["parameters"] = [row for row in found.get("parameters", []) if row["component"] == "vhost-limits"]
    return wanted


def import_definitions(settings: Settings, definitions: bytes) -> None:
    """Add to the broker what it knew; what it has stays."""
    # RabbitMQ 4 hangs on standard input. A file of its own: rabbitmqctl runs as the user rabbitmq.
    path = Path(f"/run/{settings.app}-broker-definitions.json")
    path.unlink(missing_ok=True)
    try:
        wanted = wanted_definitions(json.loads(definitions), settings.broker_user)
        path.write_text(json.dumps(wanted), encoding="utf-8")
        shutil.chown(path, "rabbitmq")
        rabbitmqctl("import_definitions", str(path), "--format=json")
    finally:
        path.unlink(missing_ok=True)


# -- Command line ------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Tell a person; standard output is for programs."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the list of backups for a person."""
    lines = [
        f"{row['name']}  {row['created']}  release {row['release'] or '?'}  {row['bytes'] / 1000:,.0f} kB  "
        f"{row['reason']}".rstrip()
        for row in rows
    ]
    return "\n".join(lines) or "There is no backup yet."


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Back up now, and print the path of the new backup.")
    parser.add_argument("--settings", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--reason", default="", metavar="TEXT", help="what the backup is for; stands in its manifest")
    parser.add_argument("--json", action="store_true", help="with --list and --verify: print JSON")
    verbs = parser.add_mutually_exclusive_group()
    verbs.add_argument("--list", action="store_true", help="list the backups, oldest first")
    verbs.add_argument("--verify", metavar="FILE", help="check that a backup is whole")
    verbs.add_argument("--plan", action="store_true", help="say what restoring the manifest on standard input would do")
    verbs.add_argument("--restore", metavar="FILE", help="what playbooks/restore.yml calls, the services being stopped")
    parser.add_argument("--discard-present", action="store_true", help="with --restore: no backup of what is replaced")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Do what was asked for.

    Raises:
        RefusedError: it can't be done.
    """
    settings = Settings(**json.loads(options.settings.read_text(encoding="utf-8"))) if options.settings else None

    def found(name: str) -> Path:
        return Path(settings.folder if settings else "", name)

    if options.verify:
        manifest = verify(found(options.verify))
        print(json.dumps(manifest) if options.json else f"{options.verify} is whole: {describe(manifest)}")
        return
    if settings is None or os.geteuid() != 0:
        raise RefusedError("Run it as root on the host, by its own name: sudo <app>-backup.")
    if options.list:
        rows = listed(settings)
        print(json.dumps(rows) if options.json else table(rows))
    elif options.plan:
        print(plan(settings, json.load(sys.stdin)))
    elif options.restore:
        with alone(settings) as work:
            restore(settings, work, found(options.restore), discard_present=options.discard_present)
            remove_old(settings)
        print(f"Restored {options.restore}")
    else:
        with alone(settings) as work:
            path = make_backup(settings, work, options.reason)
            remove_old(settings)
        print(path)


def main() -> None:
    """Run the command; a refusal is one sentence and exit code 1."""
    os.umask(0o077)
    try:
        run(parse(sys.argv[1:]))
    except RefusedError as error:
        sys.exit(f"Refused: {error}")


if __name__ == "__main__":
    main()
