"""Compare the settings that a release loads with the inventory; run by manage.py shell. Prints one JSON line.

Standard input: JSON with debug (bool), allowed_hosts (list of texts), modules (names of what the services import),
celery_app (what `celery -A` is given) and admin (user, email, fields; no user: none is created), as the inventory has
them. Output: refused, warnings and changes, lists of sentences; the second is what "check --deploy" warns of, the third
what the inventory replaced in the settings. No secret is printed.
"""

import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.http.request import validate_host

# The release, of which the project may be a folder.
SOURCE = next((folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / ".venv").exists()), Path.cwd())
# A shorter text may be part of another one by chance.
SHORTEST = 8


def source_files() -> Iterator[Path]:
    """Yield the files of the release, bytecode included: it holds texts that were put together from parts."""
    for folder, subfolders, names in os.walk(SOURCE):
        subfolders[:] = [name for name in subfolders if name != ".venv"]
        yield from (Path(folder, name) for name in names)


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, or nothing where it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def given_secrets() -> set[str]:
    """Return the secrets that the inventory gave, and what the project wrote into its folder for state."""
    state = Path(os.environ.get("STATE_DIRECTORY", "/nonexistent"))
    folders = [Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")), state]
    files = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file()]
    texts = [read_bytes(path).decode(errors="replace") for path in files if path.stat().st_size < 10_000]
    return {part for text in texts for part in [text.strip(), *text.splitlines()] if part}


def name_read(setting: str) -> str:
    """Return the variable from which the project's settings take a setting, as far as their text tells."""
    package = os.environ.get("PROJECT_SETTINGS_MODULE", settings.SETTINGS_MODULE).split(".")[0]
    paths = {
        Path(getattr(module, "__file__", None) or "/")
        for name, module in sys.modules.items()
        if name.split(".")[0] == package
    }
    text = "\n".join(read_bytes(path).decode(errors="replace") for path in sorted(paths) if path.is_relative_to(SOURCE))
    pattern = rf"""(?m)^[ \t]*{setting}[ \t:\w\[\]]*=[^"']{{0,80}}?(?:env|config)[\w.]*[(\[]\s*["'](\w+)["']"""
    return next(iter(re.findall(pattern, text)), "")


def key_problem(key: str) -> str:
    """Return why others may know a secret key, or nothing."""
    if not key:
        return "is empty"
    if key.startswith("django-insecure-"):
        return "begins with django-insecure-, as a key for development does"
    needle = key.encode()
    for path in source_files():
        if needle in read_bytes(path):
            return f"is public, because it is in the source ({path.relative_to(SOURCE)})"
    if key not in given_secrets():
        return "is none of the secrets that the inventory gave, so others may know it"
    return ""


def problems(debug: bool, allowed_hosts: list[str]) -> Iterator[str]:
    """Yield one sentence for each setting that isn't as the inventory says."""
    if settings.DEBUG and not debug:
        advice = to_do("DEBUG", "'false'", "django_app_environment")
        yield f"DEBUG is on, which shows settings and code to everybody, while django_app_debug is false; {advice}"
    if not settings.DEBUG:
        hosts = [host.removeprefix(".") for host in allowed_hosts if host != "*"]
        missing = [host for host in hosts if not validate_host(host, settings.ALLOWED_HOSTS)]
        if missing or not settings.ALLOWED_HOSTS:
            fault = "is empty"
            if settings.ALLOWED_HOSTS:
                has, lacks = ", ".join(settings.ALLOWED_HOSTS), ", ".join(missing)
                fault = f"has {has} and lacks {lacks} of django_app_allowed_hosts"
            advice = to_do("ALLOWED_HOSTS", f"'{','.join(allowed_hosts)}'", "django_app_environment")
            yield f"ALLOWED_HOSTS {fault}; {advice}"
    fallbacks = {f"SECRET_KEY_FALLBACKS[{i}]": key for i, key in enumerate(settings.SECRET_KEY_FALLBACKS)}
    for name, key in ({"SECRET_KEY": settings.SECRET_KEY} | fallbacks).items():
        problem = key_problem(key.decode(errors="replace") if isinstance(key, bytes) else str(key))
        if problem:
            advice = to_do("SECRET_KEY", "'{{ django_app_secret_key }}'", "django_app_credentials")
            yield f"{name} {problem}; {advice}"


def remains(value: object, secret: str, name: str) -> Iterator[str]:
    """Yield where a secret is in a setting, and in what the setting holds."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str) and (value == secret or (len(secret) >= SHORTEST and secret in value)):
        yield name
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from remains(part, secret, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from remains(part, secret, name)


def remaining_problems() -> Iterator[str]:
    """Yield one sentence for each setting that still has a secret which the inventory has replaced elsewhere."""
    for origin, secret in getattr(sys.modules.get("inventory_settings"), "replaced", {}).items():
        found = {
            where
            for name in dir(settings)
            if name.isupper()
            for where in remains(getattr(settings, name), secret, name)
        }
        if found:
            yield (
                f"The project's own {origin}, which the inventory replaced, is still in {', '.join(sorted(found))}; "
                "let its settings read it from the environment, under a name that django_app_credentials gives."
            )


def broker_problems() -> Iterator[str]:
    """Yield a sentence if Celery would talk to another broker than the inventory's."""
    wanted = os.environ.get("CELERY_BROKER_URL")
    if not wanted or "celery" not in sys.modules:
        return
    from celery import current_app

    for name in ("broker_write_url", "broker_read_url"):
        theirs = getattr(current_app.conf, name)
        if theirs != wanted:
            host = urlsplit(str(theirs)).hostname
            yield (
                f"Celery would talk to {host}, not to the broker of the inventory; remove {name} where the project "
                "configures its Celery app."
            )
            return


def import_problems(modules: list[str]) -> Iterator[str]:
    """Yield one sentence for each module that a service couldn't import, before it tries for ever."""
    for name in modules:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            fault = f"{type(error).__name__}: {error}"
            yield (
                f"{name} can't be imported ({fault}); "
                "set systemd_units_wsgi or systemd_units_asgi to what the project has."
            )


def celery_problems(name: str) -> Iterator[str]:
    """Yield a sentence if worker and beat wouldn't find their Celery app."""
    if not name:
        return
    from celery import Celery
    from celery.app.utils import find_app

    try:
        if isinstance(find_app(name), Celery):
            return
        fault = "there is something else"
    except (Exception, SystemExit) as error:
        fault = f"{type(error).__name__}: {error}"
    yield f"No Celery app is found by {name} ({fault}); set systemd_units_celery_app to the module that has it."


def user_problems(user: str, email: str, fields: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for the first thing for which the first administrator couldn't be created."""
    User = get_user_model()
    label, none = User._meta.label, 'django_app_admin_user: "" to have none created'
    if not hasattr(User._default_manager, "create_superuser"):
        yield f"The manager of {label} has no create_superuser(); set {none}."
        return
    values = {User.USERNAME_FIELD: user} | fields
    mail = User.get_email_field_name()
    if mail in User.REQUIRED_FIELDS or (email and hasattr(User, mail)):
        values = {mail: email} | values
    lacking = [name for name in User.REQUIRED_FIELDS if name not in values]
    if lacking:
        yield f"Users ({label}) need {', '.join(lacking)}; set that in django_app_admin_fields, or {none}."
        return
    for name, value in values.items():
        variable = {User.USERNAME_FIELD: "django_app_admin_user"}.get(name, "django_app_admin_fields")
        variable = "django_app_admin_email" if name == mail != User.USERNAME_FIELD else variable
        try:
            field = User._meta.get_field(name)
            if field.is_relation:
                yield f"Users ({label}) refer to another row by {name}, which the play can't create; set {none}."
                return
            field.clean(value, None)
        except (FieldDoesNotExist, ValidationError) as error:
            reason = " ".join(getattr(error, "messages", ["there is no such field."])).rstrip(".")
            yield f"{variable} doesn't fit the field {name} of users ({label}): {reason}; correct it, or set {none}."
            return


def to_do(setting: str, value: str, variable: str) -> str:
    """Return what the operator has to set."""
    name = name_read(setting).removesuffix("_FILE")
    if name and name != f"DJANGO_{setting}":
        return f"set {name}: {value} in {variable}."
    return f"let its settings read DJANGO_{setting}, or name other settings in django_app_settings_module."


given = json.load(sys.stdin)
try:
    found = [message for message in checks.run_checks(include_deployment_checks=True) if not message.is_silenced()]
except Exception as error:  # whatever a project's own code may raise
    frame = traceback.extract_tb(error.__traceback__)[-1]
    fault = f"{frame.filename}, line {frame.lineno}: {type(error).__name__}: {error}"
    found = [checks.Error(f"The project's own checks fail ({fault}); correct what they look at.")]
refused = list(problems(given["debug"], given["allowed_hosts"]))
refused += [*import_problems(given.get("modules", [])), *celery_problems(given.get("celery_app", ""))]
refused += [*remaining_problems(), *broker_problems()]
if given.get("admin", {}).get("user"):
    refused += user_problems(**given["admin"])
refused += [str(message).removeprefix("?: ").strip() for message in found if message.is_serious()]
warnings = [str(message) for message in found if not message.is_serious()]
changes = getattr(sys.modules.get("inventory_settings"), "changes", [])
print(json.dumps({"refused": refused, "warnings": warnings, "changes": changes}))
