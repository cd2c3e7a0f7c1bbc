#!/usr/bin/python
"""Ansible module: make, activate, keep and drop the generations of an app on a host."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: generation
short_description: Make, activate, keep and drop the generations of an app on a host
description:
  - A generation is all that the app on a host runs with, in C(/etc/<app>/generations/<id>), never changed once it is
    made. C(release) links to its code, C(environment), C(credentials), C(units) and C(library) are what roles wrote
    into C(/etc/<app>/wanted), C(10-generation.conf) is the drop-in that makes it the active one, and C(state.json)
    tells whether it is unproven, good or bad.
  - The id is a digest of the content, with a key of the host, because passwords are in it.
  - Nothing is decided by a clock. What a killed run left is finished, or undone, by the next call.
options:
  app:
    description: Name of the app.
    type: str
    required: true
  state:
    description:
      - V(begun) reserves the host for O(by), and makes a generation of what an installation without generations runs.
      - V(reserved) reserves the host for O(by) and nothing else, for what is no deployment.
      - V(present) makes a generation of what is in C(/etc/<app>/wanted).
      - V(passwords) brings passwords of O(id) that differ into the generation that runs, and into the database.
      - V(active) makes O(id) what the units run with; services are restarted by M(managed_units).
      - V(good) notes that O(id) was seen to work, drops what is no longer needed, and frees the host. Without
        O(id) it only frees the host.
      - V(restored) notes that O(id) is bad, makes the last good one active and frees the host; without one, nothing is
        active any more.
    type: str
    choices: [begun, reserved, present, passwords, active, good, restored]
    required: true
  by:
    description: Who deploys, as the lookup C(deployer) tells. Another one than has reserved the host is refused.
    type: dict
    required: true
  id:
    description: The generation.
    type: str
    default: ""
  lasting:
    description: Names of credentials, URLs, whose server has a new password already. For V(passwords).
    type: list
    elements: str
    default: []
  layout:
    description: What of the inventory belongs to the code of O(id), such as names of modules, by variable. For V(good).
    type: dict
    default: {}
  kept:
    description: How many releases and generations stay. For V(good).
    type: int
    default: 3
author: the maintainers of this project
"""

EXAMPLES = r"""
- name: Make a generation of what was written
  generation: {app: shop, state: present, by: "{{ lookup('deployer') }}"}
  register: shop_generation
"""

RETURN = r"""
id:
  description: The generation in question; empty if there is none.
  returned: always
  type: str
release:
  description: Its release.
  returned: always
  type: str
active:
  description: The generation that the units name, and RV(good) what was last seen to work;
    each with id, release and previous (release).
  returned: always
  type: dict
good:
  description: See RV(active).
  returned: always
  type: dict
releases:
  description: The complete releases on the host, the last used one last.
  returned: always
  type: list
  elements: str
layouts:
  description: What O(layout) was when a release was last seen to work, by release.
  returned: always
  type: dict
new_admin_password:
  description: Whether the administrator's password in C(wanted) is another one than the last that was given.
  returned: always
  type: bool
"""

# Where a service's environment says what it runs with.
RUNS_WITH = "RUNS_WITH"
# How long a run that is not seen to have ended keeps others away, in seconds.
PATIENCE = 1800

# Run by <app>-manage with the database URL in use. Says "ready", and changes the role at the word "go".
CHANGE_ROLE = """
import json, sys
from django.db import OperationalError, connection

given = json.loads(sys.stdin.readline())

def refusal(password):
    connection.close()
    connection.settings_dict["PASSWORD"] = password
    try:
        connection.ensure_connection()
    except OperationalError as error:
        return str(error)

present = connection.settings_dict["PASSWORD"]
if not refusal(given["password"]):
    print("done", flush=True)
elif error := refusal(present):
    print("neither", json.dumps(error), flush=True)
else:
    user = connection.settings_dict["USER"]
    # What the server stores, so that it never sees the password, not even in its log.
    verifier = connection.connection.pgconn.encrypt_password(
        given["password"].encode(), user.encode(), b"scram-sha-256").decode()
    print("ready", flush=True)
    if sys.stdin.readline() == "go\\n":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {connection.ops.quote_name(user)} PASSWORD '{verifier}'")
        print("changed", flush=True)
"""


class RefusedError(Exception):
    """A reason to stop, in words for the operator."""


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file by a rename, so that it is never half there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)


def link(path: Path, target: str) -> bool:
    """Point a link, by a rename; return whether it pointed elsewhere."""
    if path.is_symlink() and os.readlink(path) == target:
        return False
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.symlink_to(target)
    temporary.rename(path)
    return True


def remove(path: Path) -> bool:
    """Remove a file, link or folder; return whether it was there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return True
    there = os.path.lexists(path)
    path.unlink(missing_ok=True)
    return there


def without_password(url: str) -> str:
    """Return the URL without its password, or nothing if it has none."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@")).geturl() if parts.password else ""


class Host:
    """The generations of one app."""

    def __init__(self, app: str, root: Path = Path("/")) -> None:
        self.app = app
        self.etc, self.opt = root / "etc" / app, root / "opt" / app
        self.folder, self.wanted = self.etc / "generations", self.etc / "wanted"
        self.system = root / "etc/systemd/system"
        self.dropins = self.system / f"{app}-.service.d"
        self.proc, self.state = root / "proc", root / "var/lib" / app
        self.lock = root / "run" / f"{app}-deployment.json"
        self.old_library = root / "usr/local/lib" / app

    # What is there

    def active(self) -> str:
        """Return the generation that the units name, or nothing."""
        try:
            text = (self.dropins / "10-generation.conf").read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        found = re.search(rf"/etc/{re.escape(self.app)}/generations/([0-9a-f]+)/environment", text)
        if found:
            return found[1]
        # Of a host that had none before, and was not deployed to since.
        current = self.etc / "current"
        if current.is_symlink() and (self.dropins / "10-shared.conf").exists():
            return os.path.basename(os.readlink(current))
        return ""

    def good(self) -> str:
        """Return the generation that was last seen to work, or nothing."""
        path = self.folder / "good"
        name = os.readlink(path) if path.is_symlink() else ""
        return name if name and (self.folder / name / "state.json").exists() else ""

    def all(self) -> list[str]:
        """Return all generations, in the order in which they were made."""
        found = [path.parent.name for path in self.folder.glob("*/state.json") if not path.parent.is_symlink()]
        return sorted(found, key=lambda name: (self.record(name)["number"], name))

    def record(self, name: str) -> dict:
        """Return state, release, previous release and number of a generation."""
        record: dict = json.loads((self.folder / name / "state.json").read_text(encoding="utf-8"))
        return record

    def note(self, name: str, **changes: object) -> bool:
        """Change the record of a generation; return whether it was another one."""
        record = self.record(name)
        if record == record | changes:
            return False
        write(self.folder / name / "state.json", json.dumps(record | changes).encode(), 0o644)
        return True

    def releases(self) -> list[str]:
        """Return the complete releases, the last used one last."""
        complete = {path.parent.name for path in (self.opt / "releases").glob("*/.complete")}
        return [*sorted(complete - set(self._used())), *(name for name in self._used() if name in complete)]

    def layouts(self) -> dict[str, dict]:
        """Return the layout of each complete release that has worked."""
        files = {name: self.opt / "releases" / name / ".layout.json" for name in self.releases()}
        return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}

    def _used(self) -> list[str]:
        try:
            used: list[str] = json.loads((self.folder / "used.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            used = []
        return used

    def describe(self, name: str) -> dict[str, str]:
        """Return id, release and previous release of a generation; empty texts for none."""
        if not name:
            return {"id": "", "release": "", "previous": ""}
        record = self.record(name)
        return {"id": name, "release": record["release"], "previous": record["previous"]}

    # Content

    def parts(self, folder: Path) -> dict[str, bytes]:
        """Return the content of a generation, or of what is to be one, by relative path."""
        names = ["environment", "sandbox.conf", "project_folder", "python_path"]
        found = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
        for kind in ("credentials", "units", "library"):
            for path in sorted((folder / kind).rglob("*")):
                if path.is_file() and path.suffix != ".pyc":
                    found[str(path.relative_to(folder))] = path.read_bytes()
        found["release"] = os.path.basename(os.readlink(folder / "release")).encode()
        for name in [name for name in found if name.startswith("units/")]:
            text = re.sub(rb"(?m)^SetCredential=RUNS_WITH:.*\n", b"", found[name])
            found[name] = re.sub(rb"(?m)^Environment=RUNS_WITH=.*$", b"Environment=RUNS_WITH=", text)
        return found

    def digest(self, parts: Mapping[str, bytes]) -> str:
        """Return what tells whether content is the same, and from which nobody can guess it."""
        path = self.folder / "key"
        if not path.exists():
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.folder.chmod(0o755)
            write(path, secrets.token_bytes(32), 0o600)
        mac = hmac.new(path.read_bytes(), digestmod=hashlib.sha256)
        for name, content in sorted(parts.items()):
            mac.update(f"{name}\0{len(content)}\0".encode() + content)
        return mac.hexdigest()

    def make(self, parts: dict[str, bytes], previous: str) -> tuple[str, bool]:
        """Have a generation with this content; return its id and whether it is new."""
        name = self.digest(parts)[:12]
        target = self.folder / name
        if (target / "state.json").exists():
            return name, False
        release = parts["release"].decode()
        half = self.folder / ".half"
        for left in (half, target):
            remove(left)
        half.mkdir(mode=0o755)
        half.chmod(0o755)
        (half / "release").symlink_to(f"/opt/{self.app}/releases/{release}")
        shared = {path: content for path, content in parts.items() if not path.startswith("units/")}
        for path, content in parts.items():
            if path == "release":
                continue
            file = half / path
            secret = path.startswith("credentials/")
            for folder in reversed(file.relative_to(half).parents):
                if not (half / folder).exists():
                    (half / folder).mkdir()
                    (half / folder).chmod(0o700 if secret else 0o755)
            if path.startswith("units/"):
                digest = self.digest(shared | {path: content})[:16]
                # As a credential, too: a process that gives itself a title overwrites its environment.
                runs_with = f"Environment={RUNS_WITH}={digest}\nSetCredential={RUNS_WITH}:{digest}"
                content = content.replace(f"Environment={RUNS_WITH}=".encode(), runs_with.encode())
            write(file, content, 0o600 if secret else 0o640 if path == "environment" else 0o644)
        write(half / "10-generation.conf", self.dropin(name, parts).encode(), 0o644)
        number = max((self.record(one)["number"] for one in self.all()), default=0) + 1
        record = {"state": "unproven", "release": release, "previous": previous, "number": number}
        write(half / "state.json", json.dumps(record).encode(), 0o644)
        half.rename(target)
        return name, True

    def dropin(self, name: str, parts: Mapping[str, bytes]) -> str:
        """Return the one file that makes the generation what the units run with."""
        folder, release = f"/etc/{self.app}/generations/{name}", f"/opt/{self.app}/releases/{parts['release'].decode()}"
        # Folders of the project, relative to the release.
        more = parts.get("python_path", b"").decode().splitlines()
        project = os.path.join(release, parts.get("project_folder", b"").decode().strip()).rstrip("/")
        lines = [
            "# Written by Ansible (role django_app): changes here are overwritten.",
            f"# systemd applies this to every service whose name begins with {self.app}-.",
            "[Service]",
            f"WorkingDirectory={project}",
            f"ExecSearchPath={release}/.venv/bin:/usr/local/bin:/usr/bin:/bin",
            f"EnvironmentFile={folder}/environment",
            f"Environment=PYTHONPATH={':'.join([f'{folder}/library', *(os.path.join(release, one) for one in more)])}",
        ]
        for path in sorted(parts):
            if path.startswith("credentials/"):
                credential = path.removeprefix("credentials/")
                lines.append(f"LoadCredential={credential}:{folder}/{path}")
                lines.append(f"Environment={credential}_FILE=%d/{credential}")
        return "\n".join(lines) + "\n" + parts.get("sandbox.conf", b"").decode()

    # Steps of a deployment

    def begin(self, by: dict) -> bool:
        """Reserve the host and make a generation of what runs without one; return whether something was made."""
        self.reserve(by)
        remove(self.folder / ".half")
        adopted = self.adopt()
        good = self.good()
        if good and self.active() != good:
            # What a killed run activated was never seen to work, so it makes no backup.
            link(self.etc / "current", f"generations/{good}")
            link(self.opt / "current", f"releases/{self.record(good)['release']}")
        return adopted

    def reserve(self, by: dict) -> None:
        """Note who deploys, unless somebody else does."""
        other = self._deployer()
        if other and not self._is(other, by):
            gone = other["controller"] == by["controller"] and other["process"] not in by["alive"]
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - other["boot_seconds"]
            if not gone and age >= 0 and (age < PATIENCE or self.at_work()):
                raise RefusedError(
                    f"{other['name']} deploys to this host, and began a step {age / 60:.0f} minutes ago. Wait until "
                    f"that run has ended; if it was killed, remove {self.lock} on the host and run the playbook again."
                )
        self._note_deployer(by)

    def touch(self, by: dict) -> None:
        """Note that the run which has reserved the host goes on; stop it if it hasn't got the host any more."""
        other = self._deployer()
        if not other or not self._is(other, by):
            raise RefusedError(
                f"{other['name'] + ' deploys' if other else 'Somebody else may have deployed'} to this host meanwhile, "
                f"because {self.lock} went or this run took too long for a step; run the playbook again."
            )
        self._note_deployer(by)

    def at_work(self) -> bool:
        """Tell whether a build or a migration is at work, which holds its lock as long."""
        for path in (self.opt / "releases/.lock", self.state / ".migrating"):
            try:
                # The second one's folder is the service user's.
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(descriptor)
        return False

    def _deployer(self) -> dict | None:
        try:
            found: dict = json.loads(self.lock.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found

    def _is(self, other: dict, by: dict) -> bool:
        return (other["controller"], other["process"]) == (by["controller"], by["process"])

    def _note_deployer(self, by: dict) -> None:
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
        mine = {key: by[key] for key in ("name", "controller", "process")} | {"boot_seconds": seconds}
        write(self.lock, json.dumps(mine).encode(), 0o600)

    def adopt(self) -> bool:
        """Make a generation of what an installation runs that had none before; return whether there was one."""
        shared = self.dropins / "10-shared.conf"
        if self.good() or self.active() or not shared.exists() or not (self.opt / "current").is_symlink():
            return False
        release = os.path.basename(os.readlink(self.opt / "current"))
        own = (b"EnvironmentFile=", b"LoadCredential=")
        sandbox = [
            line
            for line in shared.read_bytes().splitlines()
            if not line.startswith(own) and not re.match(rb"Environment=\w+_FILE=|\[Service\]|#", line)
        ]
        parts = {
            "release": release.encode(),
            "environment": (self.etc / "environment").read_bytes(),
            "sandbox.conf": b"\n".join([*sandbox, b""]),
        }
        for path in (self.etc / "credentials").iterdir():
            parts[f"credentials/{path.name}"] = path.read_bytes()
        names = [f"{self.app}.target", *(f"{self.app}-{kind}" for kind in ("web.socket", "web.service"))]
        for unit in [*names, *(f"{self.app}-{kind}.service" for kind in ("worker", "beat"))]:
            if (self.system / unit).exists():
                text = (self.system / unit).read_text(encoding="utf-8")
                text = text.replace(f"/opt/{self.app}/current/.venv/bin/", "")
                text = re.sub(r"(?m)^WorkingDirectory=.*\n", "", text)
                text = re.sub(r"PYTHONPATH=\S+ ", "", text)
                parts[f"units/{unit}"] = text.encode()
        for path in [*self.old_library.glob("supervised/*.py"), *self.old_library.glob("click_repl.py")]:
            parts[f"library/{path.relative_to(self.old_library)}"] = path.read_bytes()
        previous = self.opt / "previous"
        name, _ = self.make(parts, os.path.basename(os.readlink(previous)) if previous.is_symlink() else "")
        self.note(name, state="good", adopted=True)
        complete = [path.parent for path in (self.opt / "releases").glob("*/.complete")]
        by_age = sorted(complete, key=lambda path: (path.name == release, (path / ".complete").stat().st_mtime))
        write(self.folder / "used.json", json.dumps([path.name for path in by_age]).encode(), 0o644)
        link(self.etc / "current", f"generations/{name}")
        link(self.folder / "good", name)
        return True

    def present(self) -> tuple[str, bool]:
        """Make a generation of what is wanted."""
        parts = self.parts(self.wanted)
        base = self.active() or self.good()
        kept = "credentials/DJANGO_SECRET_KEY_FALLBACKS"
        if kept not in parts:
            # What was signed with the key before stays valid until the next change.
            parts[kept] = self._fallbacks(base, parts.get("credentials/DJANGO_SECRET_KEY", b""))
        before = self.describe(base)
        release = parts["release"].decode()
        previous = before["previous"] if before["release"] == release else before["release"]
        name, new = self.make(parts, previous)
        if name != base and self.record(name)["state"] != "good":
            self.note(name, state="unproven")
        if name != base:
            self.note(name, previous=previous)
        return name, new

    def _fallbacks(self, base: str, key: bytes) -> bytes:
        if not base:
            return b""
        folder = self.folder / base / "credentials"
        before = folder / "DJANGO_SECRET_KEY"
        if before.exists() and before.read_bytes() != key:
            return before.read_bytes()
        fallbacks = folder / "DJANGO_SECRET_KEY_FALLBACKS"
        return fallbacks.read_bytes() if fallbacks.exists() else b""

    def activate(self, name: str) -> bool:
        """Make a generation what the units run with; return whether something else was."""
        folder = self.folder / name
        units = {path.name: path.read_bytes() for path in (folder / "units").iterdir()}
        changed = False
        for unit, text in units.items():
            target = self.system / unit
            if not target.is_file() or target.is_symlink() or target.read_bytes() != text:
                remove(target)
                write(target, text, 0o644)
                changed = True
        for unit in sorted(self.known_units() - units.keys()):
            if (self.system / unit).exists():
                # A worker that is no longer listed ends its tasks first.
                self.systemctl("--now", "disable", unit)
                changed |= remove(self.system / unit)
        self.dropins.mkdir(mode=0o755, exist_ok=True)
        dropin, text = self.dropins / "10-generation.conf", (folder / "10-generation.conf").read_bytes()
        if not dropin.exists() or dropin.read_bytes() != text:
            write(dropin, text, 0o644)
            changed = True
        changed |= remove(self.dropins / "10-shared.conf")
        record = self.record(name)
        changed |= link(self.etc / "current", f"generations/{name}")
        changed |= link(self.opt / "current", f"releases/{record['release']}")
        if record["previous"]:
            changed |= link(self.opt / "previous", f"releases/{record['previous']}")
        else:
            changed |= remove(self.opt / "previous")
        if changed or not self.is_loaded(name, units):
            self.systemctl("daemon-reload")
        return changed

    def deactivate(self) -> bool:
        """Leave nothing that could be started, where nothing has ever worked; return whether there was something."""
        paths = [self.system / unit for unit in self.known_units()]
        paths += [self.dropins / "10-generation.conf", *(folder / "current" for folder in (self.etc, self.opt))]
        changed = any([remove(path) for path in paths])
        if changed:
            self.systemctl("daemon-reload")
        return changed

    def known_units(self) -> set[str]:
        """Return the names of the units of all generations."""
        return {path.name for one in self.all() for path in (self.folder / one / "units").iterdir()}

    def is_loaded(self, name: str, units: Mapping[str, bytes]) -> bool:
        """Return whether systemd has read what was activated, which a killed run may have left undone."""
        services = [unit for unit in units if unit.endswith(".service")]
        if not services:
            return True
        shown = self.systemctl("--property=EnvironmentFiles,Environment", "show", *services)
        blocks = shown.strip().split("\n\n")
        for unit, block in zip(services, blocks, strict=True):
            runs_with = re.search(rb"(?m)^Environment=(RUNS_WITH=.*)$", units[unit])
            if f"/generations/{name}/environment" not in block or (runs_with and runs_with[1].decode() not in block):
                return False
        return True

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl and return its output."""
        done = subprocess.run(["/usr/bin/systemctl", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RefusedError(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def succeed(self, name: str, kept: int, layout: dict | None = None) -> bool:
        """Note that a generation works, drop what is no longer needed; return whether that changed something."""
        changed = self.note(name, state="good")
        changed |= link(self.folder / "good", name)
        release = self.record(name)["release"]
        if layout and layout != self.layouts().get(release):
            write(self.opt / "releases" / release / ".layout.json", json.dumps(layout).encode(), 0o644)
            changed = True
        used = [one for one in self._used() if one != release] + [release]
        if used != self._used():
            write(self.folder / "used.json", json.dumps(used).encode(), 0o644)
        changed |= self.prune(name, kept)
        # Of an installation that had no generations.
        old = [self.etc / "environment", self.etc / "credentials", self.etc / "former"]
        old += [self.old_library / "supervised", self.old_library / "click_repl.py"]
        return any([remove(path) for path in old]) or changed

    def prune(self, name: str, kept: int) -> bool:
        """Drop generations and releases that nobody returns to; return whether there were some."""
        release, previous = self.record(name)["release"], self.record(name)["previous"]
        others = [one for one in self.releases() if one in self._used() and one not in (release, previous)]
        stay = {release, previous, *(others[-(kept - 2) :] if kept > 2 else [])}
        secret = self._credentials(name)
        # Old secrets are kept nowhere.
        same = [one for one in self.all() if self._credentials(one) == secret and self.record(one)["release"] in stay]
        proven = [one for one in same if self.record(one)["state"] == "good" and not self.record(one).get("adopted")]
        staying = {name, *proven[-kept:], *self._in_use()}
        surplus = [self.folder / one for one in self.all() if one not in staying]
        stay |= {self.record(one)["release"] for one in self.all() if one in staying}
        surplus += [path for path in (self.opt / "releases").iterdir() if path.is_dir() and path.name not in stay]
        return any([remove(path) for path in surplus])

    def _credentials(self, name: str) -> dict[str, bytes]:
        folder = self.folder / name / "credentials"
        skipped = "DJANGO_SECRET_KEY_FALLBACKS"
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != skipped}

    def _in_use(self) -> set[str]:
        """Return the generations in whose folders a process may still look for its modules."""
        found = set()
        for path in self.proc.glob("[0-9]*/environ"):
            try:
                environment = path.read_bytes()
            except OSError:
                continue
            pattern = rf"/etc/{re.escape(self.app)}/generations/([0-9a-f]+)/"
            found.update(match.decode() for match in re.findall(pattern.encode(), environment))
        return found

    def fail(self, name: str) -> bool:
        """Note that a generation is bad, and return to the last good one; return whether something else was active."""
        good = self.good()
        if name and name != good and (self.folder / name / "state.json").exists():
            self.note(name, state="bad")
        return self.activate(good) if good else self.deactivate()

    # Passwords

    def new_passwords(self, base: str, name: str, lasting: Iterable[str]) -> dict[str, bytes]:
        """Return the URLs of a generation that differ from another one's in nothing but the password."""
        found = {}
        for credential in ["DATABASE_URL", *lasting]:
            paths = [self.folder / one / "credentials" / credential for one in (base, name)]
            if all(path.exists() for path in paths):
                old, new = (path.read_text(encoding="utf-8") for path in paths)
                if old != new and without_password(new) and without_password(old) == without_password(new):
                    found[f"credentials/{credential}"] = new.encode()
        return found

    def change_passwords(self, name: str, lasting: list[str]) -> bool:
        """Have what runs and what is restored use the passwords that servers take; return whether one was new.

        The database's role gets its new password here, through a connection with the old one: after an interruption
        either one works, and the next run does the rest.
        """
        active, good = self.active(), self.good()
        derived = {}
        for base in {active, good} - {"", name}:
            changes = self.new_passwords(base, name, lasting)
            if changes:
                record = self.record(base)
                derived[base], _ = self.make(self.parts(self.folder / base) | changes, record["previous"])
                if record["state"] == "good":
                    self.note(derived[base], state="good")
        if not derived:
            return False
        base = active if active in derived else good

        def switch() -> None:
            if good in derived:
                link(self.folder / "good", derived[good])
            if active in derived:
                self.activate(derived[active])

        if "credentials/DATABASE_URL" in self.new_passwords(base, name, []):
            self._change_role(base, derived[base], switch)
        else:
            switch()
        return True

    def _change_role(self, old: str, new: str, switch) -> None:
        url = (self.folder / new / "credentials/DATABASE_URL").read_text(encoding="utf-8")
        manage = [f"/usr/local/bin/{self.app}-manage", "--generation", old]
        command = [*manage, "shell", "--verbosity=0", "--command", CHANGE_ROLE]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as database:
            print(json.dumps({"password": unquote(urlsplit(url).password or "")}), file=database.stdin, flush=True)
            answer = database.stdout.readline().split(maxsplit=1)
            if not answer or answer[0] == "neither":
                reason = json.loads(answer[1]) if answer else database.stderr.read()
                raise RefusedError(
                    "The database takes neither the password in django_app_database_url nor the one that the host has: "
                    f"{reason}\nSet the variable to the password that the role has, or give the role the variable's by "
                    "ALTER ROLE as the database's administrator, and run the playbook again."
                )
            units = sorted(path.name for path in (self.folder / old / "units").glob("*.service"))
            # The web process last, so that requests wait for as little as can be.
            units.sort(key=lambda unit: unit == f"{self.app}-web.service")
            shown = self.systemctl("--property=ActiveState", "--value", "show", *units).split()
            running = [unit for unit, state in zip(units, shown, strict=True) if state == "active"]
            # Each ends what it is at with the old password. Requests wait at the socket; they start a web process,
            # which takes longer to load than the rest takes here.
            for unit in running:
                self.systemctl("stop", unit)
            try:
                if answer[0] == "ready":
                    print("go", file=database.stdin, flush=True)
                    if database.stdout.readline() != "changed\n":
                        raise RefusedError(
                            f"The database didn't change the password of its role: {database.stderr.read()}"
                        )
                switch()
            finally:
                if running:
                    self.systemctl("restart", *reversed(running))

    def new_admin_password(self) -> bool:
        """Return whether the administrator's password that is wanted is another one than the last that was given."""
        wanted, given = self.wanted / "admin_password", self.etc / "admin_password"
        return wanted.exists() and (not given.exists() or wanted.read_bytes() != given.read_bytes())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "required": True,
                "choices": ["begun", "reserved", "present", "passwords", "active", "good", "restored"],
            },
            "by": {"type": "dict", "required": True},
            "id": {"type": "str", "default": ""},
            "lasting": {"type": "list", "elements": "str", "default": []},
            "layout": {"type": "dict", "default": {}},
            "kept": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    given = module.params
    host = Host(given["app"])
    name, changed = given["id"], False
    os.umask(0o022)
    try:
        if module.check_mode:
            pass
        elif given["state"] == "begun":
            changed = host.begin(given["by"])
        elif given["state"] == "reserved":
            host.reserve(given["by"])
        elif given["state"] != "restored" or host.lock.exists():
            host.touch(given["by"])
        if module.check_mode:
            pass
        elif given["state"] == "present":
            name, changed = host.present()
        elif given["state"] == "passwords":
            changed = host.change_passwords(name, given["lasting"])
        elif given["state"] == "active":
            changed = host.activate(name)
        elif given["state"] == "good":
            changed = host.succeed(name, given["kept"], given["layout"]) if name else False
            remove(host.lock)
        elif given["state"] == "restored":
            changed = host.fail(name)
            remove(host.lock)
    except RefusedError as error:
        module.fail_json(msg=str(error))
    known = name if (host.folder / name / "state.json").exists() and name else ""
    module.exit_json(
        changed=changed,
        id=known,
        release=host.describe(known)["release"],
        active=host.describe(host.active()),
        good=host.describe(host.good()),
        releases=host.releases(),
        layouts=host.layouts(),
        new_admin_password=host.new_admin_password(),
    )


if __name__ == "__main__":
    main()
