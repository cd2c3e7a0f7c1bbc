"""The settings of the project, made as the inventory says; DJANGO_SETTINGS_MODULE of the processes on the host.

The project's own module, named in PROJECT_SETTINGS_MODULE, finds what the inventory says in its environment when it is
imported. What it loads otherwise is replaced afterwards. `changes` has a line for each; `replaced` the secrets that
must be nowhere in the settings any more, by the setting that had them.
"""

import importlib
import importlib.util
import logging
import os
import ssl
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

RELEASE = Path.cwd()
STATE = Path(os.environ.get("STATE_DIRECTORY") or RELEASE)
# What a project says of a connection, wherever the database is.
KEPT = ("ATOMIC_REQUESTS", "AUTOCOMMIT", "CONN_HEALTH_CHECKS", "CONN_MAX_AGE", "TEST", "TIME_ZONE")

# What a queue with copies on several brokers can't be or have.
WITHOUT_COPIES = ("x-queue-type", "x-queue-mode", "x-max-priority", "x-overflow")

# What sqlite3.connect takes, and Django beside it; a project may ask for TLS, whatever its database is.
SQLITE_OPTIONS = (
    *("timeout", "detect_types", "isolation_level", "check_same_thread", "factory", "cached_statements", "uri"),
    *("autocommit", "init_command", "transaction_mode"),
)

changes: list[str] = []
replaced: dict[str, str] = {}


def given(name: str) -> str:
    """Return a variable, or a credential that stays in its file."""
    if name not in os.environ and "CREDENTIALS_DIRECTORY" in os.environ:
        path = Path(os.environ["CREDENTIALS_DIRECTORY"], name)
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return os.environ.get(name, "")


def listed(name: str) -> list[str]:
    """Return the parts of a variable with commas."""
    return [part for part in given(name).split(",") if part]


def on(name: str) -> bool:
    """Return a switch."""
    return given(name) == "true"


def load(name: str) -> dict[str, Any]:
    """Return the project's settings; what it can't load ends the process with one sentence."""
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever a project's own code may raise
        frames = traceback.extract_tb(error.__traceback__)
        project = [frame for frame in frames if Path(frame.filename).is_relative_to(RELEASE)]
        # Some projects are installed as a package.
        package = f"/site-packages/{name.partition('.')[0]}/"
        own = [frame for frame in project if "/.venv/" not in frame.filename or package in frame.filename]
        last = (own or project or frames)[-1]
        where = f"{last.filename}, line {last.lineno}"
        if "configurations" in sys.modules:
            sys.exit(
                f"The settings {name} are classes of django-configurations, over which nothing can be put; let them "
                "read the variables of the inventory, and set django_app_overrides_settings: false."
            )
        sys.exit(
            f"The settings {name} can't be loaded ({where}): {type(error).__name__}: {error}; set what they need in "
            "django_app_environment, or in django_app_credentials if it is secret."
        )
    return {setting: value for setting, value in vars(module).items() if setting.isupper()}


def database(url: str, theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the project's connection, led to where the URL says."""
    kind, engine = ("sqlite", "sqlite3") if url.startswith("sqlite:") else ("postg", "postgresql")
    ours: dict[str, Any] = {"HOST": "", "PORT": "", "USER": "", "PASSWORD": ""}
    options: dict[str, Any] = {}
    if url == "sqlite://:memory:":
        ours["NAME"] = ":memory:"
    else:
        parts = urlsplit(url)
        options = {key: int(value) if value.isdecimal() else value for key, value in parse_qsl(parts.query)}
        ours |= {"NAME": unquote(parts.path[1:]), "HOST": unquote(parts.hostname or ""), "PORT": str(parts.port or "")}
        ours |= {"USER": unquote(parts.username or ""), "PASSWORD": unquote(parts.password or "")}
    # PostGIS, an engine that counts queries: the project's choice, if it is for the same server.
    same = any(word in theirs.get("ENGINE", "") for word in (kind, "spatialite" if kind == "sqlite" else kind))
    base = theirs if same else {key: value for key, value in theirs.items() if key in KEPT}
    options = (base.get("OPTIONS") or {}) | options
    if kind == "sqlite":
        from django import VERSION

        options = {key: value for key, value in options.items() if key in SQLITE_OPTIONS}
        # Several processes write to one file.
        options.setdefault("timeout", 20)
        if VERSION >= (5, 1):
            options.setdefault("transaction_mode", "IMMEDIATE")
            options.setdefault("init_command", "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
    return {"ENGINE": f"django.db.backends.{engine}"} | base | ours | {"OPTIONS": options}


def writes_all_of(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether a handler of logging writes each record that the other one does."""
    levels = [logging.getLevelNamesMapping().get(str(of.get("level")), of.get("level") or 0) for of in (one, other)]
    return levels[0] <= levels[1] and all(name in other.get("filters", []) for name in one.get("filters", []))


def logging_to_journal(theirs: dict[str, Any], level: str) -> dict[str, Any]:
    """Return the project's logging, of which the journal gets all that ends in the root logger or in a file, once."""
    config = {"version": 1, "disable_existing_loggers": False} | theirs
    handlers = {name: dict(handler) for name, handler in config.get("handlers", {}).items()}
    loggers = {name: dict(logger) for name, logger in config.get("loggers", {}).items() if name}
    root = {"level": level, "handlers": []} | (config.get("root") or config.get("loggers", {}).get("") or {})
    files = []
    for name, handler in handlers.items():
        # Nothing else than the folder for state can be written to.
        if "filename" in handler and not Path(handler["filename"]).is_relative_to(STATE):
            common = {key: handler[key] for key in ("level", "formatter", "filters") if key in handler}
            handlers[name] = common | {"class": "logging.StreamHandler"}
            files.append(name)
    # A handler for development is silent here.
    silent = [name for name, of in config.get("filters", {}).items() if "RequireDebugTrue" in str(of.get("()"))]
    heard = [
        name
        for name, handler in handlers.items()
        if any(word in str(handler.get("class")) for word in ("Stream", "Rich", "Journal"))
        and not any(filtered in silent for filtered in handler.get("filters", []))
    ]
    if not any(name in heard for name in root["handlers"]):
        handlers["journal"] = {"class": "logging.StreamHandler", "formatter": "journal"}
        heard.append("journal")
        root["handlers"] = [*root["handlers"], "journal"]
        line = {"format": "[%(levelname)s/%(processName)s] %(name)s: %(message)s"}
        config["formatters"] = config.get("formatters", {}) | {"journal": line}
    elif not files:
        return theirs
    for logger in (root, *loggers.values()):
        own = logger.get("handlers", [])
        written = [handlers[name] for name in own if name in heard and name not in files]
        if logger is not root and logger.get("propagate", True):
            written += [handlers[name] for name in root["handlers"] if name in heard]
        twice = []
        for name in (name for name in own if name in files):
            rest = [handlers[other] for other in own if other in files and other not in (name, *twice)]
            if any(writes_all_of(other, handlers[name]) for other in written + rest):
                twice.append(name)
        logger["handlers"] = [name for name in own if name not in twice]
    return config | {"handlers": handlers, "root": root, "loggers": loggers}


def folder(theirs: dict[str, Any], name: str, within: Path, default: Path) -> dict[str, Any]:
    """Return a folder where the app may have it."""
    path = Path(str(theirs.get(name) or "/"))
    return {} if path.is_relative_to(within) and path != within else {name: str(default)}


def serve_media(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Answer what is asked below MEDIA_URL with what was uploaded; a middleware."""
    from django.conf import settings
    from django.http import Http404
    from django.views.static import serve

    def answer(request: Any) -> Any:
        if request.method in ("GET", "HEAD") and request.path.startswith(settings.MEDIA_URL):
            # Also a name that no file can have, and a file that the app may not read.
            with suppress(Http404, OSError):
                response = serve(request, request.path.removeprefix(settings.MEDIA_URL), settings.MEDIA_ROOT)
                response.headers.setdefault("X-Content-Type-Options", "nosniff")
                # What somebody uploaded runs no script in the name of this site.
                if any(word in response.headers.get("Content-Type", "") for word in ("html", "xml")):
                    response.headers["Content-Security-Policy"] = "sandbox"
                return response
        return get_response(request)

    return answer


def middleware(theirs: dict[str, Any]) -> list[str]:
    """Return the project's, with what serves static files, if nothing does, and uploads, if the inventory says so."""

    def is_here(url: str) -> bool:
        return bool(theirs.get(url)) and not urlsplit(str(theirs[url])).netloc

    found = list(theirs.get("MIDDLEWARE") or [])
    added = []
    static = any(app.startswith("django.contrib.staticfiles") for app in theirs.get("INSTALLED_APPS", []))
    # A release from before has no WhiteNoise.
    has_whitenoise = importlib.util.find_spec("whitenoise") is not None
    if static and is_here("STATIC_URL") and has_whitenoise and not any("whitenoise" in one.lower() for one in found):
        added.append("whitenoise.middleware.WhiteNoiseMiddleware")
    if on("DJANGO_SERVES_MEDIA") and theirs.get("MEDIA_ROOT") and is_here("MEDIA_URL"):
        added.append("inventory_settings.serve_media")
    # First of all the redirect to https.
    security = "django.middleware.security.SecurityMiddleware"
    place = found.index(security) + 1 if security in found else 0
    return [*found[:place], *added, *found[place:]]


def wanted(theirs: dict[str, Any]) -> dict[str, Any]:
    """Return what the inventory says, in settings."""
    databases = theirs.get("DATABASES") or {}
    ours: dict[str, Any] = {
        "SECRET_KEY": given("DJANGO_SECRET_KEY"),
        "SECRET_KEY_FALLBACKS": given("DJANGO_SECRET_KEY_FALLBACKS").splitlines(),
        "DEBUG": on("DJANGO_DEBUG"),
        "ALLOWED_HOSTS": listed("DJANGO_ALLOWED_HOSTS"),
        "DATABASES": databases | {"default": database(given("DATABASE_URL"), databases.get("default") or {})},
        "LOGGING": logging_to_journal(theirs.get("LOGGING") or {}, given("DJANGO_LOG_LEVEL") or "INFO"),
    }
    if given("EMAIL_HOST"):
        ours |= {
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": given("EMAIL_HOST"),
            "EMAIL_PORT": int(given("EMAIL_PORT") or 25),
            "EMAIL_USE_TLS": on("EMAIL_USE_TLS"),
            "EMAIL_USE_SSL": on("EMAIL_USE_SSL"),
            "EMAIL_HOST_USER": given("EMAIL_HOST_USER"),
            "EMAIL_HOST_PASSWORD": given("EMAIL_HOST_PASSWORD"),
            "EMAIL_TIMEOUT": theirs.get("EMAIL_TIMEOUT") or 10,
            "DEFAULT_FROM_EMAIL": given("DEFAULT_FROM_EMAIL"),
        }
    if listed("DJANGO_CSRF_TRUSTED_ORIGINS"):
        ours["CSRF_TRUSTED_ORIGINS"] = listed("DJANGO_CSRF_TRUSTED_ORIGINS")
    apps = list(theirs.get("INSTALLED_APPS", []))
    if not any(app.split(".")[0] == "django_celery_beat" for app in apps):
        ours["INSTALLED_APPS"] = [*apps, "django_celery_beat"]
    ours |= folder(theirs, "STATIC_ROOT", RELEASE, RELEASE / "staticfiles")
    if theirs.get("MEDIA_ROOT"):
        ours |= folder(theirs, "MEDIA_ROOT", STATE, STATE / "media")
    ours["MIDDLEWARE"] = middleware(theirs)
    if on("DJANGO_SERVED_OVER_TLS"):
        ours |= {
            "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
            "SECURE_SSL_REDIRECT": True,
            "SESSION_COOKIE_SECURE": True,
            "CSRF_COOKIE_SECURE": True,
            "SECURE_HSTS_SECONDS": int(given("DJANGO_HSTS_SECONDS") or 0),
            "SECURE_HSTS_INCLUDE_SUBDOMAINS": on("DJANGO_HSTS_SUBDOMAINS"),
            "SECURE_HSTS_PRELOAD": on("DJANGO_HSTS_PRELOAD"),
        }
    elif theirs.get("SECURE_SSL_REDIRECT"):
        ours["SECURE_SSL_REDIRECT"] = False  # nothing would answer there
    return ours


def queues_with_copies(theirs: dict[str, Any]) -> None:
    """Let Celery's queues have copies on all brokers of a cluster, unless the project says of what type they are.

    Whatever namespace the project's Celery app reads its settings from; its routes and queues stay as they are.
    """
    import celery
    from celery.app import amqp

    if celery.VERSION < (5, 5):
        changes.append(f"Celery's queues: on one broker each, since Celery {celery.__version__} knows no others")
        return

    class QuorumQueues(amqp.Queues):
        def __setitem__(self, name: str, queue: Any) -> None:
            super().__setitem__(name, queue)
            arguments = queue.queue_arguments or {}
            if queue.durable and not (queue.exclusive or queue.auto_delete or set(arguments) & set(WITHOUT_COPIES)):
                # Without a limit: each lost connection counts as a delivery, and the 21st would drop the message.
                queue.queue_arguments = {"x-queue-type": "quorum", "x-delivery-limit": -1} | arguments

    chosen = any(name.endswith("TASK_DEFAULT_QUEUE_TYPE") for name in theirs)

    def queues_of(of: Any) -> Any:
        return amqp.Queues if chosen or of.app.conf.value_set_for("task_default_queue_type") else QuorumQueues

    amqp.AMQP.queues_cls = property(queues_of)
    changes.append("Celery's queues: with copies on all brokers")


def brokers_known_by(authority: str) -> None:
    """Let connections by amqps: ask for a certificate of the authority, unless the project says for which.

    Whatever namespace the project's Celery app reads its settings from. All brokers' certificates hold for one name.
    """
    from kombu.transport import pyamqp

    begin = pyamqp.SSLTransport.__init__

    def begin_with_authority(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        if self.client.ssl is True:
            self.client.ssl = {"ca_certs": authority, "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "rabbitmq"}

    pyamqp.SSLTransport.__init__ = begin_with_authority
    changes.append("Celery's broker: its certificate is checked")


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Note what is replaced, without secrets."""
    for name, value in ours.items():
        before = theirs.get(name)
        if before == value or (not before and not value):
            continue
        if name == "SECRET_KEY" and before:
            replaced[name] = str(before)
            changes.append("SECRET_KEY: replaced")
        elif name == "DATABASES":
            old, new = (before or {}).get("default") or {}, value["default"]
            if old.get("PASSWORD") and old["PASSWORD"] != new["PASSWORD"]:
                replaced["DATABASES['default']['PASSWORD']"] = str(old["PASSWORD"])
            keys = [key for key, now in new.items() if (old.get(key) or "") != (now or "")]
            changes.append(f"DATABASES['default']: {', '.join(keys)}")
        elif name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "EMAIL_HOST_PASSWORD", "LOGGING"):
            changes.append(f"{name}: set")
        elif name == "INSTALLED_APPS":
            changes.append("INSTALLED_APPS: django_celery_beat added")
        elif name == "MIDDLEWARE":
            added = [one for one in value if one not in (before or [])]
            changes.append(f"MIDDLEWARE: {', '.join(added)} added, since nothing else serves these files")
        else:
            changes.append(f"{name}: {value!r}, not {before!r}")


def apply() -> dict[str, Any]:
    """Return the settings of the project and those of the inventory over them."""
    # Under the names that most projects read, so that what they derive from them is right. Others are given by
    # django_app_environment and django_app_credentials.
    os.environ.setdefault("SECRET_KEY", given("DJANGO_SECRET_KEY"))
    os.environ.setdefault("DEBUG", "1" if on("DJANGO_DEBUG") else "0")
    os.environ.setdefault("ALLOWED_HOSTS", given("DJANGO_ALLOWED_HOSTS"))
    theirs = load(os.environ["PROJECT_SETTINGS_MODULE"])
    ours = wanted(theirs)
    compare(theirs, ours)
    if given("CELERY_BROKER_AUTHORITY"):
        brokers_known_by(given("CELERY_BROKER_AUTHORITY"))
    if ";" in given("CELERY_BROKER_URL"):
        queues_with_copies(theirs)
    return theirs | ours


globals().update(apply())
