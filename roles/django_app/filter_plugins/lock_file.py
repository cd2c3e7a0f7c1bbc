"""Jinja filter that reads a project's lock file before any host is touched."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

NEEDED = "install needs pinned and hashed requirements, as `uv pip compile --generate-hashes` writes them"
# Files of other tools, with what writes requirements from them.
OTHER_LOCKS = {
    "uv.lock": "uv export --no-dev --no-emit-project --output-file requirements.txt",
    "poetry.lock": "poetry export --output requirements.txt",
    "Pipfile.lock": "pipenv requirements --hash > requirements.txt",
    "pyproject.toml": "uv pip compile --generate-hashes pyproject.toml --output-file requirements.txt",
}
# Options that don't name what to install.
HARMLESS = re.compile(
    r"(-i|-f|--(index-url|extra-index-url|find-links|no-index|no-binary|only-binary|require-hashes|trusted-host|pre"
    r"|prefer-binary|use-feature))\b"
)


def lock_problems(lock_file: str, source: str, python: dict[str, int]) -> list[str]:
    """Return one sentence for the first thing that would keep the lock file from being installed, or none.

    `python` has major, minor and micro, the version on the host.
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
    problem = _file_problem(path, folder, set())
    if problem:
        return [f"{problem}; {NEEDED}."]
    return _python_problems(folder / "pyproject.toml", python)


def _file_problem(path: Path, folder: Path, seen: set[Path]) -> str:
    """Return what is wrong with a file of requirements, without a full stop."""
    if not path.resolve().is_relative_to(folder):
        return f"{path.name} is outside of {folder}, which alone is brought to the host"
    if not path.is_file():
        return f"There is no {path.relative_to(folder)} in {folder}"
    seen.add(path)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    requirements = [re.sub(r"(^|\s)#.*", "", line).strip() for line in re.sub(r"\\\r?\n", " ", text).splitlines()]
    for line in filter(None, requirements):
        included = re.match(r"(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)", line)
        if included:
            other = path.parent / included[1]
            problem = "" if other in seen else _file_problem(other, folder, seen)
        else:
            problem = _line_problem(line, path.name)
        if problem:
            return problem
    return "" if any(requirements) else f"{path.name} is empty"


def _line_problem(line: str, name: str) -> str:
    # Without what may be a password in an address.
    shown = re.sub(r"//[^/@\s]*@", "//", line.split(" --hash")[0].strip())
    if HARMLESS.match(line):
        return ""
    if re.search(r"\b(git|hg|svn|bzr)\+", line):
        return f'{name} has "{shown}", a repository, which has no hash'
    if re.match(r"(-e|--editable)\b|[./]|[^\s\[@]+/", line) or "@ file:" in line:
        return f'{name} has "{shown}", a folder, which has no hash'
    if line.startswith("-"):
        return f'{name} has "{shown}", which is no requirement'
    if "--hash" not in line and not re.search(r"@\s*https?://\S+#sha256=", line):
        return f'{name} has no hash for "{shown}"'
    if "==" not in line.split(";")[0] and "@" not in line:
        return f'{name} has "{shown}" without a version'
    return ""


def _python_problems(path: Path, python: dict[str, int]) -> list[str]:
    if not path.is_file():
        return []
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return [f"{path} is not TOML ({error}); correct it."]
    wanted = project.get("project", {}).get("requires-python", "")
    wanted = wanted or project.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python", "")
    version = f"{python['major']}.{python['minor']}.{python.get('micro', 99)}"
    try:
        # Poetry's ^3.11 is a bound from below here.
        fits = SpecifierSet(re.sub(r"\^", ">=", str(wanted))).contains(version, prereleases=True)
    except InvalidSpecifier:
        return []
    if fits:
        return []
    return [
        f"The project needs Python {wanted} (requires-python), but the host has {python['major']}.{python['minor']}; "
        "take a host with another Debian (12 has 3.11, 13 has 3.13), or change the project."
    ]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"lock_problems": lock_problems}
