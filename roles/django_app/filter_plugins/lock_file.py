"""Jinja filter that reads a project's lock file before any host is touched."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

NEEDED = "install needs pinned and hashed requirements, as `uv pip compile --generate-hashes` writes them"
# Files of other tools, with what writes requirements from them.
OTHER_LOCKS = {
    "Pipfile.lock": "pipenv requirements --hash > requirements.txt",
    "pyproject.toml": "uv pip compile --generate-hashes pyproject.toml --output-file requirements.txt",
}
# Options that don't name what to install.
HARMLESS = re.compile(
    r"(-i|-f|--(index-url|extra-index-url|find-links|no-index|no-binary|only-binary|require-hashes|trusted-host|pre"
    r"|prefer-binary|use-feature))\b"
)
# What the units run.
RUN = {"django": "the app", "celery": "worker and beat"}
# The oldest versions that the roles know, and what the newest ones need of Python. A resolver takes an ancient
# scheduler where no newer one is for the project's Django.
OLDEST = {"django": "4.2", "gunicorn": "23", "celery": "5.3", "django-celery-beat": "2.5"}
DJANGO_6_PYTHON = "3.12"

# Versions by name, of what this host would install.
Pins = dict[str, set[str]]


class LockError(Exception):
    """Why a lock file can't be installed, in words for the operator, without a full stop."""


def lock_problems(lock_file: str, source: str, python: Mapping[str, int], needs_hashes: bool = True) -> list[str]:
    """Return one sentence for the first thing that would keep the lock file from being installed, or none.

    `python` has major, minor and micro, the version on the host. With `needs_hashes` false, versions are enough.
    """
    folder = Path(source).resolve()
    path = folder / lock_file
    if not path.is_file():
        advice = "set django_app_lock_file to the project's pinned and hashed requirements"
        return [f"There is no {lock_file} in {source}; {advice}."]
    if path.name in OTHER_LOCKS:
        return [
            f"django_app_lock_file is {lock_file}, which is no list of requirements; make one with "
            f'"{OTHER_LOCKS[path.name]}" and name that.'
        ]
    version = f"{python['major']}.{python['minor']}.{python.get('micro', 99)}"
    pins: Pins = {}
    try:
        if path.name == "uv.lock":
            _read_uv_lock(path, version, pins)
        elif path.name == "poetry.lock":
            _read_poetry_lock(path, version, pins)
        elif re.fullmatch(r"pylock(\.[^.]+)?\.toml", path.name):
            _read_pylock(path, version, pins)
        else:
            _read_requirements(path, folder, version, pins, set(), needs_hashes)
    except LockError as error:
        return [f"{error}."]
    return _python_problems(folder / "pyproject.toml", version) or _version_problems(path.name, pins, version)


def lock_has_repositories(lock_file: str, source: str) -> bool:
    """Tell whether a lock file has a package from a Git repository, for which the host needs git."""
    path = Path(source, lock_file)
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if path.name == "uv.lock":
        return re.search(r"source = \{ git =", text) is not None
    if path.name == "poetry.lock":
        return re.search(r'^type = "git"', text, re.MULTILINE) is not None
    return re.search(r"^[^#\n]*git\+", text, re.MULTILINE) is not None


# -- Formats ----------------------------------------------------------------------------------------


def _read_requirements(path: Path, folder: Path, python: str, pins: Pins, seen: set[Path], needs_hashes: bool) -> None:
    if not path.resolve().is_relative_to(folder):
        raise LockError(f"{path.name} is outside of {folder}, which alone is brought to the host; {NEEDED}")
    if not path.is_file():
        raise LockError(f"There is no {path.relative_to(folder)} in {folder}; {NEEDED}")
    seen.add(path)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    requirements = [re.sub(r"(^|\s)#.*", "", line).strip() for line in re.sub(r"\\\r?\n", " ", text).splitlines()]
    if not any(requirements):
        raise LockError(f"{path.name} is empty; {NEEDED}")
    for line in filter(None, requirements):
        included = re.match(r"(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)", line)
        if included:
            other = path.parent / included[1]
            if other not in seen:
                _read_requirements(other, folder, python, pins, seen, needs_hashes)
            continue
        problem = _line_problem(line, path.name, needs_hashes)
        if problem:
            raise LockError(problem)
        pin = re.match(r"([\w.-]+)\s*(?:\[[^\]]*\])?\s*(?:==\s*([^\s;]+))?", line)
        marker = re.search(r";\s*(.+?)(?:\s--hash.*)?$", line)
        if pin and not HARMLESS.match(line) and _holds(marker[1] if marker else "", python):
            _pin(pins, pin[1], pin[2])


def _line_problem(line: str, name: str, needs_hashes: bool) -> str:
    # Without what may be a password in an address.
    shown = re.sub(r"//[^/@\s]*@", "//", line.split(" --hash")[0].strip())
    if HARMLESS.match(line):
        return ""
    if re.search(r"\bgit\+(https|ssh)://", line):
        commit = re.search(r"git\+\w+://\S+@[0-9a-f]{40}(?=[\s#;]|$)", line)
        return "" if commit else f'{name} has "{shown}", a repository without a commit; add @ and the 40 digits of one'
    if re.search(r"\b(git|hg|svn|bzr)\+", line):
        return f'{name} has "{shown}", a repository that is not Git by https or ssh; {NEEDED}'
    if re.match(r"(-e|--editable)\b|[./]|[^\s\[@]+/", line) or "@ file:" in line:
        return f'{name} has "{shown}", a folder, which has no hash; {NEEDED}'
    if line.startswith("-"):
        return f'{name} has "{shown}", which is no requirement; {NEEDED}'
    if "==" not in line.split(";")[0] and "@" not in line:
        return f'{name} has "{shown}" without a version; {NEEDED}'
    if needs_hashes and "--hash" not in line and not re.search(r"@\s*https?://\S+#sha256=", line):
        return (
            f'{name} has no hash for "{shown}"; {NEEDED}, or set django_app_lock_needs_hashes: false to trust '
            "the index and who is between"
        )
    return ""


def _read_uv_lock(path: Path, python: str, pins: Pins) -> None:
    _check_project(path, "uv")
    lock = _read_toml(path)
    _check_python(str(lock.get("requires-python", "")), python)
    for package in lock.get("package", []):
        source = package.get("source", {})
        if source.get("editable") == "." or source.get("virtual") == ".":
            continue
        name = package.get("name", "")
        # uv writes the commit of a repository.
        if not source.keys() & {"registry", "url", "git"}:
            raise LockError(f"{path.name} has {name}, a folder, which has no hash; publish it to an index of yours")
        markers = package.get("resolution-markers", [])
        if not markers or any(_holds(marker, python) for marker in markers):
            _pin(pins, name, package.get("version"))


def _read_poetry_lock(path: Path, python: str, pins: Pins) -> None:
    _check_project(path, "Poetry")
    lock = _read_toml(path)
    wanted = str(lock.get("metadata", {}).get("python-versions", ""))
    _check_python(re.sub(r"\^", ">=", wanted), python)
    for package in lock.get("package", []):
        name, kind = package.get("name", ""), package.get("source", {}).get("type")
        if kind in ("directory", "file"):
            raise LockError(f"{path.name} has {name}, a {kind}, which has no hash; publish it to an index of yours")
        marker = package.get("markers", "")
        if not isinstance(marker, str) or _holds(marker, python):
            _pin(pins, name, package.get("version"))


def _read_pylock(path: Path, python: str, pins: Pins) -> None:
    lock = _read_toml(path)
    _check_python(str(lock.get("requires-python", "")), python)
    for package in lock.get("packages", []):
        if "directory" in package:
            raise LockError(f"{path.name} has {package.get('name')}, a folder, which has no hash")
        if _holds(package.get("marker", ""), python):
            _pin(pins, package.get("name", ""), package.get("version"))


def _check_project(path: Path, tool: str) -> None:
    if not (path.parent / "pyproject.toml").is_file():
        raise LockError(f"There is no pyproject.toml beside {path.name}, which {tool} needs to read it; add it")


def _pin(pins: Pins, name: str, version: str | None) -> None:
    """Note a package, and its version if the lock file tells it."""
    pins.setdefault(canonicalize_name(name), set()).update(filter(None, [version]))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LockError(f"{path} is not TOML ({error}); correct it") from error


def _holds(marker: str, python: str) -> bool:
    """Tell whether something is installed on the host; what can't be read counts as installed."""
    if not marker:
        return True
    environment = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "extra": "",
    }
    try:
        return Marker(marker).evaluate(environment)
    except (InvalidMarker, InvalidVersion, KeyError):
        return True


# -- Versions ---------------------------------------------------------------------------------------


def _python_problems(path: Path, python: str) -> list[str]:
    if not path.is_file():
        return []
    try:
        project = _read_toml(path)
        wanted = project.get("project", {}).get("requires-python", "")
        wanted = wanted or project.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python", "")
        # Poetry's ^3.11 is a bound from below here.
        _check_python(re.sub(r"\^", ">=", str(wanted)), python)
    except LockError as error:
        return [f"{error}."]
    return []


def _check_python(wanted: str, python: str) -> None:
    try:
        fits = SpecifierSet(wanted).contains(python, prereleases=True)
    except InvalidSpecifier:
        return
    if not fits:
        raise LockError(
            f"The project needs Python {wanted} (requires-python), but the host has {_short(python)}; "
            "take a host with another Debian (12 has 3.11, 13 has 3.13), or change the project"
        )


def _short(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _version_problems(lock: str, pins: Pins, python: str) -> list[str]:
    lacking = [f"{name}, without which {runs} can't run" for name, runs in RUN.items() if name not in pins]
    if lacking:
        return [f"{lock} lacks {lacking[0]}; add it to the project's requirements and lock them again."]
    for name, oldest in OLDEST.items():
        versions = list(_versions(pins.get(name, set())))
        if versions and max(versions) < Version(oldest):
            advice = ", or remove it to get the role's" if name not in RUN else ""
            return [f"{lock} has {name} {max(versions)}, but {oldest} or newer is needed; lock a newer one{advice}."]
    django = list(_versions(pins["django"]))
    if django and min(django) >= Version("6") and Version(python) < Version(DJANGO_6_PYTHON):
        return [
            f"{lock} has Django {min(django)}, which needs Python {DJANGO_6_PYTHON}, but the host has "
            f"{_short(python)}; take a host with Debian 13, or lock for Python {_short(python)}: "
            f"uv pip compile --generate-hashes --python-version {_short(python)}."
        ]
    return []


def _versions(texts: set[str]) -> Iterator[Version]:
    for text in texts:
        try:
            yield Version(text)
        except InvalidVersion:
            continue


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"lock_has_repositories": lock_has_repositories, "lock_problems": lock_problems}
