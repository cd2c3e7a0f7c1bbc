"""Back up an installation with restic, or restore it; `<app>-backup` calls it as root.

Written by Ansible (role backup): changes here are overwritten. What opens the database is backup_database.py, run by
`<app>-manage` as the service user and in its sandbox. restic runs as a user of its own that may read every file.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

LIBRARY = Path(__file__).resolve().parent
LOCK_SECONDS = 600
# Above the broker's disk_free_limit of 512 MB, below which it blocks publishers.
LEFT_FREE = 600 * 1000 * 1000
# Words of restic 0.14 and 0.18, and what they mean here.
REASONS = {
    "wrong password": "backup_repository_password doesn't open {repository}.",
    "Is there a repository at": "There is no repository at {repository}: is its disk mounted, and its address right? "
    "To begin with a new, empty one: sudo {app}-backup --init",
    "already locked": "Another computer works on {repository}, or was cut off less than half an hour ago.",
    "Permission denied (publickey": "The server of {repository} doesn't take the key: add the public half "
    "(credentials/backup_ssh_key.pub) to authorized_keys there.",
    "Host key verification failed": "The server of {repository} isn't the one that backup_ssh_known_hosts names.",
    "interrupt received": "It was interrupted.",
    "no space left": "The disk of {repository} is full.",
    "no matching ID": "There is no such backup at {repository}; see sudo {app}-backup --list.",
    "not found in snapshot": "It is no backup of {app}.",
}


class RefusedError(Exception):
    """What was asked for can't be done; the text says why and what to do."""


class Settings(NamedTuple):
    """What settings.json says; all paths come from the role's vars."""

    app: str
    host: str  # the inventory's name, which a host that replaces this one bears as well
    user: str
    folder: str  # root's own: lock, status, what is staged, backups in the old format
    state: str
    current: str
    manage: str
    cache: str
    repository: str  # without its password
    keep: list[str]  # options of restic forget; none if the host may not remove backups
    broker_user: str  # the app's own user of the broker on this host; empty if the broker is elsewhere
    certificates: str  # where certbot keeps account and certificates, on a host that has a proxy

    def path(self, name: str) -> Path:
        """Return the path of something in root's own folder."""
        return Path(self.folder, name)

    def release(self) -> str:
        """Return the id of the current release."""
        try:
            return Path(self.current).resolve(strict=True).name
        except FileNotFoundError:
            raise RefusedError(f"{self.app} has no current release yet, so there is nothing to back up.") from None


def say(text: str) -> None:
    """Tell a person; standard output is for programs."""
    print(text, file=sys.stderr, flush=True)


def tell(counts: dict[str, int]) -> str:
    """Return the numbers of rows for a person."""
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def need_room(folder: Path, size: int) -> None:
    """Refuse if so many bytes don't fit, with enough left over for the others on this disk."""
    free, needed = shutil.disk_usage(folder).free, size + LEFT_FREE
    if free < needed:
        raise RefusedError(
            f"{folder} has {free // 10**6} MB free and {needed // 10**6} MB are needed; "
            f"{LEFT_FREE // 10**6} of them stay free, so that the broker goes on."
        )


def measure(folder: str, but: list[str], since: float) -> tuple[int, int]:
    """Return how many bytes the files in a folder have, and how many of them came after a moment (seconds)."""
    total = new = 0
    for path in (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names):
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(path)
            size = 0 if path in but else found.st_size
            total, new = total + size, new + (size if found.st_ctime >= since else 0)
    return total, new


class Backup:
    """One run, alone: what it inherits its lock to keeps the next one waiting, too."""

    def __init__(self, settings: Settings, secrets: Path) -> None:
        self.settings, self.secrets = settings, secrets
        self.lock = settings.path("lock").open("w")
        for waited in range(LOCK_SECONDS + 1):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if waited == 0:
                say("Another run is at work: waiting for it.")
            time.sleep(1)
        else:
            self.lock.close()
            raise RefusedError(f"Another run is still at work after {LOCK_SECONDS} seconds.")
        # What backup_database.py complains of, for as long as the run.
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.restic_process: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        # restic removes its lock at SIGINT alone, and ends; a terminal or systemd has sent it that already.
        if self.restic_process is None:
            raise RefusedError("It was interrupted.")
        with contextlib.suppress(PermissionError):
            self.restic_process.send_signal(signal.SIGINT)

    # -- restic --------------------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Return the command and the environment that run restic as its user."""
        user = self.settings.user
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
        command += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--", "restic"]
        secrets = {name: (self.secrets / name).read_text(encoding="utf-8") for name in ("repository", "environment")}
        if found := re.match(r"sftp:(?://)?([^/:@]+@)?(?:\[(.+)\]|([^/:@]+))(?::(\d+)/)?", secrets["repository"]):
            user, address, name, port = found.groups()
            options = ["IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=30"]
            options += [f"UserKnownHostsFile={self.secrets / 'known_hosts'}", "ServerAliveInterval=30"]
            ssh = ["ssh", "-F", "none", "-i", str(self.secrets / "ssh_key"), "-p", port or "22"]
            ssh += [f"-o{option}" for option in options]
            ssh += [(user or "") + (address or name), "-s", "sftp"]
            command += ["--option", "sftp.command=" + " ".join(ssh)]
        environment = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "RESTIC_REPOSITORY_FILE": str(self.secrets / "repository"),
            "RESTIC_PASSWORD_FILE": str(self.secrets / "password"),
            "RESTIC_CACHE_DIR": self.settings.cache,
            "GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 2)),
        }
        return [*command, *arguments], environment | json.loads(secrets["environment"])

    def restic(self, *arguments: str, to: Any = subprocess.PIPE, again: bool = True) -> tuple[int, str, str]:
        """Run restic to its end; return its exit code, output and errors."""
        command, environment = self.command(*arguments)
        streams = {"stdin": subprocess.DEVNULL, "stdout": to, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, env=environment, pass_fds=[self.lock.fileno()], **streams)
        self.restic_process = process
        output, errors = process.communicate()
        self.restic_process = None
        said = errors.decode(errors="replace")
        if process.returncode and again and "already locked" in said:
            # No restic of this host is at work, so a lock of this host is what a killed one has left.
            self.restic("unlock", again=False)
            return self.restic(*arguments, to=to, again=False)
        return process.returncode, (output or b"").decode(errors="replace"), said

    def refuse(self, code: int, errors: str) -> NoReturn:
        """Raise one sentence on why restic failed, without secrets."""
        for words, sentence in REASONS.items():
            if words in errors:
                raise RefusedError(sentence.format(repository=self.settings.repository, app=self.settings.app))
        errors = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", errors)
        text = " ".join(line.strip() for line in errors.splitlines()[-3:] if line.strip()) or f"exit code {code}"
        for secret in [
            (self.secrets / "repository").read_text(encoding="utf-8"),
            *json.loads((self.secrets / "environment").read_bytes()).values(),
        ]:
            text = text.replace(secret, "…")
        raise RefusedError(f"restic failed at {self.settings.repository}: {text.removeprefix('Fatal: ')}")

    def call(self, *arguments: str, to: Any = subprocess.PIPE) -> str:
        """Return restic's output, or refuse."""
        code, output, errors = self.restic(*arguments, to=to)
        if code:
            self.refuse(code, errors)
        return output

    def init(self) -> str:
        """Make the folders of restic's user and the repository, if they aren't there."""
        user = pwd.getpwnam(self.settings.user)
        local = [self.settings.repository] if self.settings.repository.startswith("/") else []
        for path in [self.settings.cache, *local]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
            # An uninstall has removed the user, and left the backups.
            if os.lstat(path).st_uid != user.pw_uid and path.startswith(f"{self.settings.folder}/"):
                for _, names, files, folder in os.fwalk(path):
                    os.fchown(folder, user.pw_uid, user.pw_gid)
                    for name in names + files:
                        os.chown(name, user.pw_uid, user.pw_gid, dir_fd=folder, follow_symlinks=False)
            if os.lstat(path).st_uid != user.pw_uid:
                raise RefusedError(f"{path} must belong to the user {user.pw_name}.")
        code, _, errors = self.restic("cat", "config")
        if code == 0:
            return f"Found {self.settings.repository}"
        if "wrong password" in errors:
            self.refuse(code, errors)
        self.call("init")
        return f"Made {self.settings.repository}"

    def snapshots(self) -> list[dict[str, Any]]:
        """Return the backups, oldest first, those in the old format before the others."""
        old = sorted(self.settings.path("").glob(f"{self.settings.app}-*.tar.gz"))
        rows = [{"id": path.name, "created": "", "host": "", "release": "", "reason": "old format"} for path in old]
        for found in json.loads(self.call("snapshots", "--json", f"--tag=app:{self.settings.app}")):
            tags = dict(tag.partition(":")[::2] for tag in found.get("tags") or [])
            row = {"id": found["short_id"], "created": found["time"][:19] + "Z", "host": found["hostname"]}
            incomplete = ["INCOMPLETE"] if "incomplete" in tags else []
            reason = " ".join([*incomplete, tags.get("reason", "")])
            rows.append(row | {"release": tags.get("release", ""), "reason": reason})
        return rows

    def forget(self) -> None:
        """Remove what the policy doesn't keep, and the space that nothing needs any more."""
        if self.settings.keep:
            which = [f"--host={self.settings.host}", f"--tag=app:{self.settings.app}", "--group-by=host"]
            self.call("forget", "--quiet", "--prune", *which, *self.settings.keep)

    # -- Back up -------------------------------------------------------------------------------------------------------

    def manage(self, verb: str, given: object, stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start backup_database.py as the service user."""
        code = (
            f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); sys.dont_write_bytecode = True\n"
            f"import backup_database; backup_database.main({verb!r}, {json.dumps(given)!r})"
        )
        command = [self.settings.manage, "shell", "--verbosity=0", "--command", code]
        self.errors.truncate(0)
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=self.errors)

    def ended(self, process: subprocess.Popen[bytes], message: str) -> None:
        """Wait for the end of backup_database.py; refuse with its last words if it failed."""
        if process.wait():
            self.errors.seek(0)
            lines = self.errors.read().decode(errors="replace").strip().splitlines() or [
                f"exit code {process.returncode}"
            ]
            raise RefusedError(f"{message}: {lines[-1]}")

    @contextlib.contextmanager
    def staged(self, name: str) -> Iterator[Path]:
        """Yield an empty folder of root's, of which nothing stays; what a killed run left goes first."""
        folder = self.settings.path(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def make(self, reason: str) -> str:
        """Back up, and return the id of the snapshot."""
        app, state = self.settings.app, self.settings.state
        # A comma separates tags.
        tags = {"app": app, "release": self.settings.release(), "reason": " ".join(reason.replace(",", ";").split())}
        manifest: dict[str, Any] = tags | {"host": self.settings.host, "broker": bool(self.settings.broker_user)}
        with self.staged("staged") as folder:
            manifest |= self.dump_database(folder / "database")
            if self.settings.broker_user:
                (folder / "broker_definitions.json").write_bytes(export_definitions())
            if self.has_certificates():
                pack(Path(self.settings.certificates), folder / "certificates.tar")
            manifest["state_bytes"], new = measure(state, manifest["live"], self.noted().get("backup", {}).get("at", 0))
            # One that isn't there is restic's to tell.
            if os.path.isdir(self.settings.repository):
                need_room(Path(self.settings.repository), manifest["database_bytes"] + new)
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
            # The live database, and what isn't worth it.
            left_out = [re.sub(r"([*?[\\])", r"\\\1", path) for path in manifest["live"]]
            left_out += [f"{state}/.restore", f"{state}/.backup-*", f"{state}/.migrating"]
            options = [f"--host={self.settings.host}", *(f"--tag={name}:{value}" for name, value in tags.items())]
            options += [f"--exclude={path}" for path in left_out]
            code, output, errors = self.restic("backup", "--json", "--quiet", *options, str(folder), state)
        # 3: a file couldn't be read. One that was deleted meanwhile might have been deleted before.
        if code not in (0, 3):
            self.refuse(code, errors)
        snapshot = str(json.loads(output.strip().splitlines()[-1])["snapshot_id"])[:8]
        items = [json.loads(line).get("item") for line in errors.splitlines() if line.startswith("{")]
        missed = [item for item in items if item and os.path.lexists(item)]
        if code and (missed or not items):
            self.call("tag", "--add=incomplete:", snapshot)
            raise RefusedError(f"The backup is incomplete, and tagged so; it lacks {', '.join(missed) or errors}.")
        return snapshot

    def dump_database(self, path: Path) -> dict[str, Any]:
        """Write a copy of the database; return what the manifest says of it."""
        process, message = self.manage("dump", {"left_free": LEFT_FREE}), "The database can't be backed up"
        with cast("IO[bytes]", process.stdout) as copied:
            # One line of JSON, then the database.
            said: dict[str, Any] = json.loads(copied.readline() or "{}")
            if said:
                need_room(path.parent, said["database_bytes"])
                with path.open("xb") as file:
                    shutil.copyfileobj(copied, file)
                    said["database_bytes"] = file.tell()
        self.ended(process, message)
        return said

    def noted(self) -> dict[str, Any]:
        """Return how the last runs ended."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads(self.settings.path("status.json").read_text(encoding="utf-8")))
        return {}

    @contextlib.contextmanager
    def note(self, verb: str) -> Iterator[dict[str, Any]]:
        """Note in status.json how a run ends: `at` is when one last went well, `failed` when one has failed since."""
        entry: dict[str, Any] = {"at": int(time.time())}
        try:
            yield entry
        except BaseException as error:
            entry = self.noted().get(verb, {}) | {"failed": entry["at"], "error": str(error)}
            raise
        finally:
            noted, new = (
                self.noted() | {"repository": self.settings.repository, verb: entry},
                self.settings.path(".new"),
            )
            new.write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")
            new.chmod(0o644)
            os.replace(new, self.settings.path("status.json"))

    # -- Restore -------------------------------------------------------------------------------------------------------

    def verify(self, source: str) -> dict[str, Any]:
        """Read a backup to its last bit, and return its manifest."""
        with self.staged("restored") as folder:
            manifest = self.fetch(source, folder)
        if not source.endswith(".tar.gz"):
            self.call("dump", source, "/", to=subprocess.DEVNULL)
        return manifest

    def fetch(self, source: str, folder: Path) -> dict[str, Any]:
        """Stage the parts of a backup but for the files of the state directory; return its manifest."""
        if source.endswith(".tar.gz"):
            return fetch_old(self.settings.path(Path(source).name), folder)
        if not re.fullmatch("[0-9a-f]{8,64}", source):
            raise RefusedError(f"{source} is not the id of a backup; see sudo {self.settings.app}-backup --list.")

        def part(name: str) -> Path:
            with (folder / name).open("xb") as file:
                self.call("dump", source, str(self.settings.path("staged") / name), to=file)
            return folder / name

        manifest: dict[str, Any] = json.loads(part("manifest.json").read_bytes())
        need_room(folder, manifest["database_bytes"])
        part("database")
        if manifest["broker"]:
            part("broker_definitions.json")
        return manifest

    def plan(self, manifest: dict[str, Any]) -> str:
        """Return what a restore would do here.

        Raises:
            RefusedError: the backup doesn't fit.
        """
        app, release, since = self.settings.app, self.settings.release(), manifest["created"]
        if manifest["app"] != app:
            raise RefusedError(f"It is a backup of {manifest['app']}, and {app} is installed here.")
        process = self.manage("compare", manifest["migrations"])
        output, _ = process.communicate()
        self.ended(process, "The installed release can't be asked what it knows")
        here = json.loads(output)
        if here["engine"] != manifest["engine"]:
            raise RefusedError(f"Its database is {manifest['engine']}, and {app} uses {here['engine']} here.")
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
        files = (
            f"its {manifest['state_bytes'] // 1000} kB of files replace" if "state_bytes" in manifest else "it leaves"
        )
        lines = [
            f"The backup is {describe(manifest)}.",
            f"It replaces the current data: {tell(here['counts']) or 'a database that cannot be read'}; "
            f"{files} those in {self.settings.state}.",
            f"Users, passwords, sessions and tokens become those of {since}: what was deleted, ended or revoked since "
            "is valid again. To end all sessions and tokens, add -e backup_restore_ends_sessions=true.",
        ]
        if here["pending"]:
            lines.append(f"It is older than release {release}; these run on it: {', '.join(here['pending'])}.")
        return "\n".join(lines)

    def restore(self, source: str, *, discard: bool, ends_sessions: bool) -> None:
        """Put the data of a backup in the place of the current ones, which stay if anything goes wrong."""
        units = [path.name for path in Path(f"/etc/{self.settings.app}/current/units").glob("*.service")]
        active = [unit for unit in units if subprocess.run(["systemctl", "--quiet", "is-active", unit]).returncode == 0]
        if active:
            raise RefusedError(f"{', '.join(active)} would go on with the old data; playbooks/restore.yml stops them.")
        with self.staged("restored") as folder:
            manifest, safety = self.fetch(source, folder), None
            say(self.plan(manifest))
            if not discard:
                try:
                    with self.note("backup") as entry:
                        safety = entry["id"] = self.make(f"before restoring {source}")
                except RefusedError as error:
                    raise RefusedError(
                        f"The current data can't be kept: {str(error).rstrip('.')}. To discard them, add "
                        "-e backup_restore_discard_current=true."
                    ) from None
                say(f"The current data are in backup {safety}.")
            # Before the database: what it adds harms nobody if the rest fails.
            if self.settings.broker_user and (folder / "broker_definitions.json").exists():
                import_definitions(self.settings.broker_user, folder / "broker_definitions.json")
            self.load(source, folder, manifest, safety=safety, ends_sessions=ends_sessions)

    def load(
        self, source: str, folder: Path, manifest: dict[str, Any], *, safety: str | None, ends_sessions: bool = False
    ) -> None:
        """Load files and database; if what follows on that fails, load the safety backup."""
        files = "state_bytes" in manifest
        if files:
            self.unpack(source, manifest["state_bytes"])
        size = (folder / "database").stat().st_size
        given = {"size": size, "left_free": LEFT_FREE, "engine": manifest["engine"], "discard": safety is None}
        with (folder / "database").open("rb") as database:
            process = self.manage("load", given | {"files": files, "ends_sessions": ends_sessions}, stdin=database)
            # Printed when the new data are in place: from then on only another load brings the old ones back.
            loaded = b"loaded" in process.communicate()[0].split()
        lost = "The backup is loaded, but its migrations failed"
        try:
            self.ended(
                process, lost if loaded and not safety else "The current data stay, because the backup can't be loaded"
            )
        except RefusedError:
            if loaded and safety:
                with self.staged("before") as before:
                    self.load(safety, before, self.fetch(safety, before), safety=None)
            raise

    def has_certificates(self) -> bool:
        """Return whether role web_proxy has certificates of an authority here for this app."""
        with contextlib.suppress(OSError):
            note = Path(self.settings.certificates, "managed-by-ansible").read_text(encoding="utf-8")
            return note.startswith(f"# Written by Ansible (role web_proxy) for {self.settings.app}:")
        return False

    def restore_certificates(self) -> str:
        """Put account and certificates of this host's newest backup in their place, if nothing is there yet.

        Returns:
            What was restored, for a person; nothing if nothing was.
        """
        folder = Path(self.settings.certificates)
        if folder.exists():
            return ""
        ours = [row for row in self.snapshots() if row["host"] == self.settings.host]
        if not ours:
            return ""
        newest = max(ours, key=lambda row: str(row["created"]))["id"]
        with self.staged("restored") as staged:
            archive = staged / "certificates.tar"
            with archive.open("xb") as file:
                code, _, _ = self.restic("dump", newest, str(self.settings.path("staged") / archive.name), to=file)
            # Else it has none.
            if code != 0:
                return ""
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".certificates-") as beside:
                subprocess.run(["tar", "--extract", f"--directory={beside}", f"--file={archive}"], check=True)
                os.rename(Path(beside, folder.name), folder)
        return f"Restored {folder} of backup {newest}"

    def unpack(self, source: str, size: int) -> None:
        """Have the service user unpack the files of the state directory beside the current ones."""
        given = {"size": size, "left_free": LEFT_FREE, "depth": len(Path(self.settings.state).parts) - 1}
        process = self.manage("unpack", given, stdin=subprocess.PIPE)
        with cast("IO[bytes]", process.stdin) as to:
            code, _, errors = self.restic("dump", source, self.settings.state, to=to)
        if code and process.wait() == 0:
            self.refuse(code, errors)
        self.ended(process, "The current data stay, because the files can't be unpacked")


def pack(folder: Path, to: Path) -> None:
    """Write a folder with its owners and modes to an archive that root alone can read."""
    subprocess.run(["tar", "--create", f"--directory={folder.parent}", f"--file={to}", folder.name], check=True)


def describe(manifest: dict[str, Any]) -> str:
    """Return one line on what a backup holds."""
    reason = f", {manifest['reason']}" if manifest["reason"] else ""
    return (
        f"{manifest['app']} of {manifest['created']} on {manifest['host']}, release {manifest['release']}, "
        f"{manifest['engine']}{reason} ({tell(manifest['counts'])})"
    )


def fetch_old(path: Path, folder: Path) -> dict[str, Any]:
    """Stage the parts of a backup in the format before restic; return its manifest, without `state_bytes`."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            manifest: dict[str, Any] = json.load(cast("IO[bytes]", archive.extractfile("manifest.json")))
            need_room(folder, sum(part["size"] for part in manifest["parts"]))
            for part in manifest["parts"]:
                name = "database" if part["name"].startswith("database.") else Path(part["name"]).name
                with (folder / name).open("x+b") as file:
                    shutil.copyfileobj(cast("IO[bytes]", archive.extractfile(part["name"])), file)
                    file.seek(0)
                    if hashlib.file_digest(file, "sha256").hexdigest() != part["sha256"]:
                        raise tarfile.ReadError(f"{part['name']} isn't what was backed up")
            # To the end, where gzip's own checksum is: it covers the manifest too.
            while cast("IO[bytes]", archive.fileobj).read(2**20):
                pass
    except FileNotFoundError:
        raise RefusedError(f"There is no file {path}.") from None
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{path.name} is damaged or no backup: {error}.") from None
    return manifest


# -- The broker --------------------------------------------------------------------------------------------------------


def rabbitmqctl(*arguments: str) -> bytes:
    """Run rabbitmqctl, and return its output."""
    # A boot may be under way. rabbitmqctl minds its own timeout only once it is connected.
    command = ["timeout", "120", "rabbitmqctl", "--quiet", "--timeout=60", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split()) or f"exit code {done.returncode}"
        raise RefusedError(f"rabbitmqctl {arguments[0]} failed: {said}")
    return done.stdout


def export_definitions() -> bytes:
    """Return users, virtual hosts, policies, queues of the broker on this host."""
    definitions = rabbitmqctl("export_definitions", "-", "--format=json")
    return definitions[definitions.index(b"{") :]


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


def import_definitions(broker_user: str, definitions: Path) -> None:
    """Add to the broker what it knew; what it has stays."""
    # RabbitMQ 4 hangs on standard input, and rabbitmqctl runs as the user rabbitmq.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir="/run") as file:
        json.dump(wanted_definitions(json.loads(definitions.read_bytes()), broker_user), file)
        file.flush()
        os.fchown(file.fileno(), pwd.getpwnam("rabbitmq").pw_uid, -1)
        rabbitmqctl("import_definitions", file.name, "--format=json")


# -- Command line ------------------------------------------------------------------------------------------------------


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Back up now, and print the id of the new backup.")
    parser.add_argument("--settings", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--secrets", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--reason", default="by hand", metavar="TEXT", help="what the backup is for; one of its tags")
    parser.add_argument("--json", action="store_true", help="with --list and --verify: print JSON")
    verbs = parser.add_mutually_exclusive_group()
    verbs.add_argument("--list", action="store_true", help="list the backups, oldest first")
    verbs.add_argument("--verify", metavar="ID", help="read one to its last bit, and say what it holds")
    verbs.add_argument("--plan", metavar="ID", help="the same, and say what restoring it would do")
    verbs.add_argument("--restore", metavar="ID", help="what playbooks/restore.yml calls, the services being stopped")
    verbs.add_argument(
        "--restore-certificates",
        action="store_true",
        help="put certbot's account and certificates of the newest backup in their place, if nothing is there",
    )
    verbs.add_argument("--init", action="store_true", help="make the repository if there is none")
    verbs.add_argument("--check", action="store_true", help="check the repository, and a twentieth of its data")
    verbs.add_argument("--prune", action="store_true", help="remove the backups that needn't be kept any longer")
    verbs.add_argument("--restic", nargs=argparse.REMAINDER, help="run restic with these arguments")
    parser.add_argument("--discard-current", action="store_true", help="with --restore: no backup of what is replaced")
    parser.add_argument("--end-sessions", action="store_true", help="with --restore: end all sessions and tokens")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Do what was asked for.

    Raises:
        RefusedError: it can't be done.
    """
    if options.settings is None or os.geteuid() != 0:
        raise RefusedError("Run it as root on the host, by its own name: sudo <app>-backup.")
    settings = Settings(**json.loads(options.settings.read_text(encoding="utf-8")))
    backup = Backup(settings, options.secrets or options.settings.parent)
    if options.list:
        rows = backup.snapshots()
        lines = [
            f"{row['id']}  {row['created']}  {row['host']}  release {row['release']}  {row['reason']}" for row in rows
        ]
        print(json.dumps(rows) if options.json else "\n".join(lines) or "There is no backup yet.")
    elif options.verify or options.plan:
        manifest = backup.verify(options.verify or options.plan)
        whole = json.dumps(manifest) if options.json else f"{options.verify} is whole: {describe(manifest)}"
        print(backup.plan(manifest) if options.plan else whole)
    elif options.restore:
        backup.restore(options.restore, discard=options.discard_current, ends_sessions=options.end_sessions)
        print(f"Restored {options.restore}")
    elif options.restore_certificates:
        print(backup.restore_certificates())
    elif options.init:
        ready = settings.path("ready")
        ready.unlink(missing_ok=True)
        print(backup.init())
        ready.touch()
    elif options.check:
        with backup.note("check"):
            backup.call("check", "--quiet", "--read-data-subset=5%")
    elif options.prune:
        with backup.note("prune"):
            backup.forget()
    elif options.restic is not None:
        command, environment = backup.command(*options.restic)
        sys.exit(subprocess.run(command, env=environment, pass_fds=[backup.lock.fileno()], check=False).returncode)
    else:
        with backup.note("backup") as entry:
            entry["id"] = backup.make(options.reason)
        print(entry["id"])


def main() -> None:
    """Run the command; a refusal is one sentence and exit code 1."""
    os.umask(0o077)
    os.nice(10)
    try:
        run(parse(sys.argv[1:]))
    except (RefusedError, OSError) as error:
        sys.exit(f"Refused: {error}")


if __name__ == "__main__":
    main()
