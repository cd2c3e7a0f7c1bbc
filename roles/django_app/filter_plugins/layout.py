"""Jinja filters that look at a project's folders before any host is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

# What holds no code of the project's.
NO_CODE = {"node_modules", "venv", "env", "site-packages", "staticfiles", "tests", "docs", "build", "dist"}
# The first that is there; of the last ones the role says how to make another.
LOCKS = (
    "uv.lock",
    "poetry.lock",
    "pylock.toml",
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
)
OTHER_LOCKS = ("Pipfile.lock", "pyproject.toml")
# Also where a variable of the environment may name another one, as in os.getenv("NAME", "shop.settings").
SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["'][\],]\s*=?\s*(?:\w[\w.]*\(\s*["']\w+["'],\s*)?["']([\w.]+)["']""")
# One of a package, which a variable tells: f"shop.settings.{environment}".
SETTINGS_OF = re.compile(r"""DJANGO_SETTINGS_MODULE["'][\],]\s*=?\s*f?["']([\w.]+)\.(?:\{|%s|["']\s*\+)""")
CELERY = re.compile(r"^(\w+)(?:\s*:[^=\n]+)?\s*=\s*(?:\w+\.)*\w*Celery\(", re.MULTILINE)
# Settings by which one develops, and what lies beside them for servers.
DEVELOPMENT, PRODUCTION = ("dev", "local", "development"), ("production", "prod")
# Django's own ways to the app that a project's settings name.
DJANGO_WSGI = "django.core.servers.basehttp:get_internal_wsgi_application()"
DJANGO_ASGI = "django.core.asgi:get_asgi_application()"


def missing_folders(names: Iterable[str], source: str) -> list[str]:
    """Return the names that are no folders in the source; absolute ones are the host's."""
    top = os.path.realpath(source)
    return [name for name in names if _is_odd(name) or not (os.path.isabs(name) or _is_in(name, top))]


def _is_odd(name: str) -> bool:
    # Neither PYTHONPATH nor a unit's line could hold it.
    return any(char.isspace() or char in ':"%' for char in name)


def _is_in(name: str, top: str) -> bool:
    path = os.path.normpath(os.path.join(top, name))
    return os.path.isdir(path) and os.path.commonpath([path, top]) == top


# -- What is where ----------------------------------------------------------------------------------


def project_folder(source: str) -> str:
    """Return the folder with manage.py, relative to the source: the source itself, or the only one below it."""
    found = project_folders(source)
    return found[0] if len(found) == 1 else ""


def project_folders(source: str) -> list[str]:
    """Return the folders that hold a manage.py, of those nearest to the source; "" is the source itself."""
    found = sorted(str(path.parent) for path in _files(source) if path.name == "manage.py")
    depth = min((len(Path(one).parts) for one in found), default=0)
    return ["" if one == "." else one for one in found if len(Path(one).parts) == depth]


def source_folders(source: str, folder: str) -> list[str]:
    """Return the folders for PYTHONPATH, relative to the source: src beside manage.py."""
    beside = os.path.join(folder, "src")
    is_src = os.path.isdir(os.path.join(source, beside)) and not os.path.isfile(
        os.path.join(source, beside, "__init__.py")
    )
    return [beside] if is_src else []


def lock_in(source: str, folder: str = "") -> str:
    """Return the lock file of a project, the first of those that people have: in the source, or beside manage.py."""
    names = [
        os.path.join(one, name)
        for names in (LOCKS, OTHER_LOCKS)
        for one in dict.fromkeys(["", folder])
        for name in names
    ]
    return next((name for name in names if os.path.isfile(os.path.join(source, name))), "requirements.txt")


def settings_in(source: str, folder: str, python_path: Iterable[str]) -> str:
    """Return the settings module that the project's own entry points name, or nothing; the one for servers, if any."""
    roots = _roots(source, folder, python_path)
    named = [name for path in _entry_points(source, folder) for name in SETTINGS.findall(_text(source, path))]
    there = [name for name in named if _find(name, roots)] or named
    for name in there:
        package, _, last = name.rpartition(".")
        if package and last in DEVELOPMENT:
            there = [one for last in PRODUCTION if _find(one := f"{package}.{last}", roots)] + there
            break
    if not there:
        packages = [name for path in _entry_points(source, folder) for name in SETTINGS_OF.findall(_text(source, path))]
        there = [one for name in packages for last in PRODUCTION if _find(one := f"{name}.{last}", roots)]
    return there[0] if there else ""


def wsgi_in(source: str, folder: str, python_path: Iterable[str], settings: str) -> str:
    """Return the WSGI application that gunicorn is given; what the settings name, where the source has no module."""
    return _server_module("wsgi", source, folder, python_path, settings) or DJANGO_WSGI


def asgi_in(source: str, folder: str, python_path: Iterable[str], settings: str) -> str:
    """Return the ASGI application likewise."""
    return _server_module("asgi", source, folder, python_path, settings) or DJANGO_ASGI


def celery_apps(source: str, folder: str, python_path: Iterable[str], settings: str) -> list[str]:
    """Return what `celery -A` may be given: beside the settings, as Celery's documentation has it, or elsewhere."""
    roots = _roots(source, folder, python_path)
    for package in _packages(settings):
        for name in (f"{package}.celery", package):
            path = _find(name, roots)
            # In a module of that name it may be made by other means.
            pattern = re.compile(r"\bCelery\b") if name.endswith(".celery") else CELERY
            if path and pattern.search(_text(source, path)):
                return [package]
    found = {}
    for path in _files(source):
        name = CELERY.search(_text(source, path)) if path.suffix == ".py" else None
        module = _module(Path(source, path), roots) if name else ""
        if name and module:
            found[module] = f"{module}:{name[1]}"
    if not found and not _is_here(settings, roots):
        return _packages(settings)[:1]
    return [found[module] for module in sorted(found)]


# -- What can't be ----------------------------------------------------------------------------------


def layout_problems(
    source: str, folder: str, python_path: Iterable[str], settings: str, named: dict[str, str]
) -> list[str]:
    """Return one sentence for the first thing that isn't where a variable says, or that several could be.

    `named` has what the services import by the variable that names it, `module`, `module:name` or nothing.
    """
    if not os.path.isdir(source):
        return [f"There is no folder {source}; set django_app_source to the folder of the Django project."]
    if folder and (_is_odd(folder) or not _is_in(folder, os.path.realpath(source))):
        return [f"django_app_project_folder is {folder}, which is no folder in {source}; name one, relative to it."]
    folders = project_folders(source)
    if not folder and len(folders) > 1:
        return [f"manage.py is in {', '.join(folders)} of {source}; set django_app_project_folder to one of them."]
    roots = _roots(source, folder, python_path)
    if not settings:
        return [
            f"Nothing in {source} names Django's settings (there is {'a' if folders else 'no'} manage.py); set "
            "django_app_settings_module, or django_app_source to the folder of the Django project."
        ]
    wanted = {"django_app_settings_module": settings} | named
    for variable, name in wanted.items():
        module = name.partition(":")[0]
        if variable == "systemd_units_celery_app" and not name:
            return [_celery_problem(source, celery_apps(source, folder, python_path, settings))]
        is_folder = any(root.joinpath(*module.split(".")).is_dir() for root in roots)
        if _is_here(module, roots) and not _find(module, roots) and not is_folder:
            return [f"{variable} names {module}, which isn't in {source}; {_advice(variable, source, roots)}"]
    return []


def _celery_problem(source: str, found: list[str]) -> str:
    if found:
        return f"Celery apps in {source} are {', '.join(found)}; set systemd_units_celery_app to one of them."
    return (
        f"No Celery app is in {source}, without which nothing could run by schedule; make one as Celery's "
        "documentation says (First steps with Django), or set systemd_units_celery_app to the module that has it."
    )


def _advice(variable: str, source: str, roots: list[Path]) -> str:
    words = {"systemd_units_wsgi": "wsgi", "systemd_units_asgi": "asgi", "systemd_units_celery_app": "celery"}
    stem = words.get(variable, "settings")
    modules = {_module(Path(source, path), roots) for path in _files(source) if stem in str(path)}
    found = sorted(name for name in modules if name and stem in name)
    return f"there is {', '.join(found[:5])}." if found else "correct it."


# -- Files and modules ------------------------------------------------------------------------------


@lru_cache
def _files(source: str) -> tuple[Path, ...]:
    found = []
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = [name for name in subfolders if name not in NO_CODE and name[0] not in "._"]
        found += [Path(folder, name).relative_to(source) for name in names if name.endswith(".py")]
    return tuple(sorted(found, key=lambda path: (len(path.parts), path)))


def _text(source: str, path: Path) -> str:
    return Path(source, path).read_text(encoding="utf-8", errors="replace")


def _roots(source: str, folder: str, python_path: Iterable[str]) -> list[Path]:
    names = [folder, *(name for name in python_path if not os.path.isabs(name))]
    return [Path(os.path.normpath(os.path.join(source, name))) for name in dict.fromkeys(names)]


def _entry_points(source: str, folder: str) -> Iterator[Path]:
    """Yield what starts the project: on a server first."""
    for name in ("wsgi.py", "asgi.py"):
        yield from (path for path in _files(source) if path.name == name)
    yield from (path for path in [Path(folder, "manage.py")] if Path(source, path).is_file())


def _packages(settings: str) -> list[str]:
    """Return the packages around a settings module, the outermost first; the module itself if it is in none."""
    parts = settings.split(".")
    return [".".join(parts[: end + 1]) for end in range(max(len(parts) - 1, 1))]


def _find(module: str, roots: list[Path]) -> Path | None:
    """Return the file of a module."""
    for root in roots:
        path = root.joinpath(*module.split("."))
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def _is_here(module: str, roots: list[Path]) -> bool:
    """Tell whether the outermost package of a module is in the source; what isn't may be installed."""
    top = module.partition(".")[0]
    return any((root / top).is_dir() or (root / f"{top}.py").is_file() for root in roots)


def _module(path: Path, roots: list[Path]) -> str:
    """Return the name of the module that a file is, seen from the deepest folder on the path."""
    holding = [root for root in roots if path.is_relative_to(root)]
    if not holding:
        return ""
    parts = list(path.relative_to(max(holding, key=lambda root: len(root.parts))).with_suffix("").parts)
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _server_module(kind: str, source: str, folder: str, python_path: Iterable[str], settings: str) -> str:
    roots = _roots(source, folder, python_path)
    beside = [f"{package}.{kind}" for package in _packages(settings) if _find(f"{package}.{kind}", roots)]
    files = [path for path in _files(source) if path.name == f"{kind}.py" and "application" in _text(source, path)]
    found = beside or sorted(filter(None, (_module(Path(source, path), roots) for path in files)))
    return f"{found[0]}:application" if found else ""


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "missing_folders": missing_folders,
            "project_folder": project_folder,
            "source_folders": source_folders,
            "lock_in": lock_in,
            "settings_in": settings_in,
            "wsgi_in": wsgi_in,
            "asgi_in": asgi_in,
            "celery_apps": celery_apps,
            "layout_problems": layout_problems,
        }
