"""The settings module around a project's own: what the inventory says holds, and nothing else is lost."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from project import ROOT, load_plugin

CERTIFICATES = load_plugin("roles/common/lookup_plugins/member_certificates.py")
FILES = ROOT / "roles/django_app/files"
KEY = "of-the-inventory-4Yw0hQ7sVtP1xZr9LkM3nB8cD2fG6jH5aE"
DATABASE = "postgres://shop:new%40password@db.example.org:5433/shop?sslmode=require"
# As `django-admin startproject` writes it, with the tutorial's lines.
STARTPROJECT = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "django-insecure-3#k0-uj"
DEBUG = True
ALLOWED_HOSTS = []
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
STATIC_URL = "static/"
"""
# Names that aren't ours, and a list that depends on one of them.
DERIVED = """
import os
DEBUG = bool(int(os.environ.get("DEBUG", "1")))
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")
INSTALLED_APPS = ["django_celery_beat"] + (["debug_toolbar"] if DEBUG else [])
SIMPLE_JWT = {"SIGNING_KEY": SECRET_KEY}
"""
POSTGIS = """
DATABASES = {
    "default": {
        "ENGINE": "django.contrib.gis.db.backends.postgis", "NAME": "dev", "PASSWORD": "dev-password",
        "ATOMIC_REQUESTS": True, "OPTIONS": {"application_name": "shop"},
    },
    "replica": {"ENGINE": "django.db.backends.postgresql", "NAME": "other"},
}
"""


def run_with(folder: Path, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code as a process of the app does, in the folder of a project."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{FILES}:{folder}",
            "DJANGO_SETTINGS_MODULE": "inventory_settings",
            "PROJECT_SETTINGS_MODULE": "shop.settings",
            "DJANGO_SECRET_KEY": KEY,
            "DATABASE_URL": "sqlite://:memory:",
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def loaded(folder: Path, code: str, **environment: str) -> Any:
    """Return settings, changes and replaced of a project with these settings, or what it ended with."""
    (folder / "shop").mkdir()
    (folder / "shop/settings.py").write_text(code, encoding="utf-8")
    print_all = (
        "import json, inventory_settings as s\n"
        "names = {name: value for name, value in vars(s).items() if name.isupper()}\n"
        "print(json.dumps([names, s.changes, s.replaced], default=str))"
    )
    said = {
        "DJANGO_SECRET_KEY_FALLBACKS": "former-key",
        "DJANGO_DEBUG": "false",
        "DJANGO_ALLOWED_HOSTS": "id.example.org,localhost",
        "DATABASE_URL": "sqlite:////var/lib/shop/db.sqlite3",
        "STATE_DIRECTORY": "/var/lib/shop",
    }
    result = run_with(folder, print_all, **(said | environment))
    return json.loads(result.stdout) if result.returncode == 0 else result.stderr


def test_a_project_for_development_becomes_one_for_a_server(tmp_path: Path) -> None:
    settings, changes, replaced = loaded(tmp_path, STARTPROJECT)
    assert (settings["SECRET_KEY"], settings["SECRET_KEY_FALLBACKS"]) == (KEY, ["former-key"])
    assert (settings["DEBUG"], settings["ALLOWED_HOSTS"]) == (False, ["id.example.org", "localhost"])
    database = settings["DATABASES"]["default"]
    assert (database["ENGINE"], database["NAME"]) == ("django.db.backends.sqlite3", "/var/lib/shop/db.sqlite3")
    assert database["OPTIONS"]["timeout"] == 20
    assert settings["STATIC_ROOT"] == str(tmp_path / "staticfiles")
    assert settings["INSTALLED_APPS"][-1] == "django_celery_beat"
    assert settings["LOGGING"]["root"] == {"level": "INFO", "handlers": ["journal"]}
    assert settings["STATIC_URL"] == "static/"
    assert "DEBUG: False, not True" in changes
    assert replaced == {"SECRET_KEY": "django-insecure-3#k0-uj"}
    assert not any("insecure" in line or KEY in line for line in changes)


def test_what_depends_on_settings_is_derived_from_the_inventory(tmp_path: Path) -> None:
    settings, changes, replaced = loaded(tmp_path, DERIVED)
    assert settings["INSTALLED_APPS"] == ["django_celery_beat"]
    assert settings["SIMPLE_JWT"] == {"SIGNING_KEY": KEY}
    assert replaced == {}
    assert not any(line.startswith(("SECRET_KEY:", "DEBUG", "ALLOWED", "INSTALLED")) for line in changes)


def test_databases_are_merged(tmp_path: Path) -> None:
    settings, changes, replaced = loaded(tmp_path, POSTGIS, DATABASE_URL=DATABASE)
    assert settings["DATABASES"]["replica"]["NAME"] == "other"
    assert settings["DATABASES"]["default"] == {
        "ENGINE": "django.contrib.gis.db.backends.postgis",
        "NAME": "shop",
        "USER": "shop",
        "PASSWORD": "new@password",
        "HOST": "db.example.org",
        "PORT": "5433",
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {"application_name": "shop", "sslmode": "require"},
    }
    assert replaced == {"DATABASES['default']['PASSWORD']": "dev-password"}
    assert "password" not in str(changes)


def test_another_engine_keeps_what_is_said_of_connections(tmp_path: Path) -> None:
    code = STARTPROJECT + "DATABASES['default'] |= {'CONN_MAX_AGE': 60, 'OPTIONS': {'timeout': 5}}\n"
    database = loaded(tmp_path, code, DATABASE_URL=DATABASE)[0]["DATABASES"]["default"]
    assert (database["ENGINE"], database["CONN_MAX_AGE"]) == ("django.db.backends.postgresql", 60)
    assert database["OPTIONS"] == {"sslmode": "require"}


@pytest.mark.parametrize("tls", ["true", "false"])
def test_tls(tls: str, tmp_path: Path) -> None:
    code = STARTPROJECT + "SECURE_SSL_REDIRECT = True\n"
    settings = loaded(tmp_path, code, DJANGO_SERVED_OVER_TLS=tls, DJANGO_HSTS_SECONDS="60")[0]
    assert settings["SECURE_SSL_REDIRECT"] is (tls == "true")
    if tls == "true":
        assert settings["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]
        assert (settings["SESSION_COOKIE_SECURE"], settings["CSRF_COOKIE_SECURE"]) == (True, True)
        assert settings["SECURE_HSTS_SECONDS"] == 60


def test_log_files_go_to_the_journal_and_uploads_to_the_state(tmp_path: Path) -> None:
    code = """
MEDIA_ROOT = "/srv/media"
STATIC_ROOT = "/srv/static"
LOGGING = {
    "version": 1,
    "formatters": {"short": {"format": "%(message)s"}},
    "handlers": {
        "file": {"class": "logging.FileHandler", "filename": "/var/log/shop.log", "formatter": "short"},
        "own": {"class": "logging.FileHandler", "filename": "/var/lib/shop/shop.log"},
    },
    "loggers": {"": {"handlers": ["own"], "level": "ERROR"}, "shop": {"handlers": ["file"]}},
}
"""
    settings = loaded(tmp_path, code)[0]
    assert settings["MEDIA_ROOT"] == "/var/lib/shop/media"
    assert settings["STATIC_ROOT"] == str(tmp_path / "staticfiles")
    logging = settings["LOGGING"]
    assert logging["handlers"]["file"] == {"class": "logging.StreamHandler", "formatter": "short"}
    assert logging["handlers"]["own"]["filename"] == "/var/lib/shop/shop.log"
    assert logging["root"] == {"level": "ERROR", "handlers": ["own", "journal"]}
    assert list(logging["loggers"]) == ["shop"]


# As `django-admin startproject` has it, with uploads.
SITE = """
INSTALLED_APPS = ["django.contrib.staticfiles"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "shop.urls"
STATIC_URL = "static/"
MEDIA_ROOT = "/srv/media"
MEDIA_URL = "media/"
"""
ASK = """
import sys
import django
django.setup()
from django.test import Client
client = Client(headers={"host": "id.example.org"})
for path in sys.argv[1:]:
    answer = client.get(path)
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    print(answer.status_code, answer.headers.get("Content-Security-Policy", "-"), body.decode().splitlines()[0])
"""


def answers(folder: Path, settings: str, *paths: str, **environment: str) -> list[str]:
    """Return status, policy and beginning of what the project answers; the page behind all others says so."""
    for name, text in {
        "shop/settings.py": settings,
        "shop/urls.py": "from django.http import HttpResponse\nfrom django.urls import re_path\n"
        "urlpatterns = [re_path('', lambda request: HttpResponse('a page'))]\n",
        "staticfiles/style.css": "a style",
        "state/media/photo.jpg": "a photo",
        "state/media/page.html": "a script",
        "state/media/drawing.svg": "a drawing",
        "state/secret.txt": "a secret",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    said = {"DJANGO_ALLOWED_HOSTS": "id.example.org", "STATE_DIRECTORY": str(folder / "state")}
    result = run_with(folder, ASK, *paths, **(said | environment))
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_static_files_are_served_and_uploads_are_not(tmp_path: Path) -> None:
    found = answers(tmp_path, SITE, "/static/style.css", "/media/photo.jpg", "/static/none.css")
    assert found == ["200 - a style", "200 - a page", "200 - a page"]


def test_uploads_are_served_where_that_is_asked_for(tmp_path: Path) -> None:
    named = {
        "/media/photo.jpg": "200 - a photo",
        "/media/page.html": "200 sandbox a script",
        "/media/drawing.svg": "200 sandbox a drawing",
        "/media/": "200 - a page",
        "/media/none.jpg": "200 - a page",
        "/media/../secret.txt": "400 - ",
        "/media/%2e%2e/secret.txt": "400 - ",
        "/media//etc/passwd": "200 - a page",
        "/media/a%00b": "200 - a page",
        f"/media/{'a' * 300}": "200 - a page",
    }
    assert dict(zip(named, answers(tmp_path, SITE, *named, DJANGO_SERVES_MEDIA="true"), strict=True)) == named


@pytest.mark.parametrize(
    "settings",
    [
        'MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")',
        'STATIC_URL = "https://cdn.example.org/static/"\nMEDIA_URL = "//cdn.example.org/media/"',
        "INSTALLED_APPS = []\nMEDIA_ROOT = ''",
    ],
    ids=["whitenoise of its own", "elsewhere", "neither"],
)
def test_what_serves_files_is_added_where_nothing_does(settings: str, tmp_path: Path) -> None:
    found, changes, _ = loaded(tmp_path, f"{SITE}\n{settings}")
    assert len(found["MIDDLEWARE"]) == len({*found["MIDDLEWARE"]})
    assert "inventory_settings.serve_media" not in found["MIDDLEWARE"]
    assert [line for line in changes if line.startswith("MIDDLEWARE")] == []


STREAM = {"class": "logging.StreamHandler"}
FILE = {"class": "logging.FileHandler", "filename": "/var/log/shop.log"}
OFF = {"debug": {"()": "django.utils.log.RequireDebugTrue"}}


@pytest.mark.parametrize(
    "logging",
    [
        # As of pretix: a console and a file for a logger, and for the root logger that hears it as well.
        {
            "handlers": {"console": STREAM, "file": FILE},
            "loggers": {
                "": {"handlers": ["file", "console"], "level": "INFO"},
                "shop": {"handlers": ["file"]},
            },
        },
        {
            "handlers": {"console": STREAM, "file": FILE},
            "loggers": {"shop": {"handlers": ["file", "console"], "propagate": False}},
        },
        # The console is for development, the file for a server.
        {"filters": OFF, "handlers": {"console": STREAM | {"filters": ["debug"]}}, "root": {"handlers": ["console"]}},
        {
            "filters": OFF,
            "handlers": {"console": STREAM | {"filters": ["debug"]}, "file": FILE},
            "root": {"handlers": ["console", "file"]},
        },
        # All in one file, errors in another.
        {"handlers": {"errors": FILE | {"level": "ERROR"}, "all": FILE}, "root": {"handlers": ["errors", "all"]}},
        {"handlers": {"console": STREAM | {"level": 50}, "file": FILE}, "root": {"handlers": ["console", "file"]}},
        {"handlers": {"file": FILE, "rich": {"class": "rich.logging.RichHandler"}}, "root": {"handlers": ["rich"]}},
        {"handlers": {"file": FILE}, "loggers": {"shop": {"handlers": ["file"]}}},
    ],
)
def test_the_journal_gets_each_line_once(logging: dict[str, Any], tmp_path: Path) -> None:
    config = loaded(tmp_path, f"LOGGING = {logging | {'version': 1}}")[0]["LOGGING"]
    code = (
        "import logging.config, sys, types, django\n"
        "from django.conf import settings\n"
        "settings.configure(DEBUG=False)\n"
        "sys.modules['rich'] = sys.modules['rich.logging'] = rich = types.ModuleType('rich')\n"
        "rich.logging, rich.RichHandler = rich, logging.StreamHandler\n"
        f"logging.config.dictConfig({config})\n"
        "logging.getLogger('shop').error('a line')"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert printed.count("a line") == 1, printed


def test_what_cant_be_loaded_is_told_in_one_sentence(tmp_path: Path) -> None:
    words = loaded(tmp_path, 'import os\nKEY = os.environ["STRIPE_KEY"]\n')
    assert "settings.py, line 2): KeyError: 'STRIPE_KEY'; set what they need in django_app_environment, or" in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('import os\nKEY = os.environ["STRIPE_KEY"]\n', "packaged/settings.py, line 2): KeyError: 'STRIPE_KEY'"),
        ("\nfrom django.utils.version import gone\n", "packaged/settings.py, line 2): ImportError"),
        ("import broken\n", "packaged/settings.py, line 1): NameError"),
    ],
)
def test_the_place_in_an_installed_project_is_told(code: str, said: str, tmp_path: Path) -> None:
    packages = tmp_path / ".venv/lib/python3.13/site-packages"
    (packages / "packaged").mkdir(parents=True)
    (packages / "packaged/settings.py").write_text(code, encoding="utf-8")
    (packages / "broken.py").write_text("nonsense\n", encoding="utf-8")
    path = f"{FILES}:{packages}"
    words = loaded(tmp_path, "", PROJECT_SETTINGS_MODULE="packaged.settings", PYTHONPATH=path)
    assert said in words
    assert words.count("\n") == 1


def test_options_of_another_database_are_left_out(tmp_path: Path) -> None:
    # As dj_database_url.config(ssl_require=True) makes them.
    required = 'DATABASES["default"]["OPTIONS"] = {"sslmode": "require", "timeout": 7}'
    settings, _, _ = loaded(tmp_path, STARTPROJECT + required)
    options = settings["DATABASES"]["default"]["OPTIONS"]
    assert "sslmode" not in options
    assert options["timeout"] == 7


def test_settings_that_are_classes_are_told_as_what_they_are(tmp_path: Path) -> None:
    # What django-configurations says where its importer isn't installed.
    (tmp_path / "configurations.py").write_text("class Configuration: pass")
    error = loaded(tmp_path, "import configurations\nraise Exception('importer not correctly installed')")
    assert "django-configurations" in error
    assert "set django_app_overrides_settings: false." in error


# A Celery app whose settings have a namespace of their own, queues and routes.
CELERY_APP = """
from celery import Celery
from kombu import Exchange, Queue
from kombu.common import Broadcast

app = Celery("anything")
app.config_from_object("django.conf:settings", namespace="SHOP")
app.conf.task_queues = [
    Queue("mail", Exchange("letters", "topic"), "mail.#", queue_arguments={"x-single-active-consumer": True}),
    Queue("chosen", queue_arguments={"x-queue-type": "classic"}),
    Queue("urgent", queue_arguments={"x-max-priority": 5}),
    Queue("short", durable=False),
    Broadcast("all"),
] if MINE else None
app.conf.task_routes = {"shop.send": {"queue": "mail"}, "shop.other": {"queue": "made"}}
"""
PRINT_QUEUES = """
import json, celeryapp, inventory_settings
queues = celeryapp.app.amqp.queues
routes = [celeryapp.app.amqp.router.route({}, name)["queue"].name for name in ("shop.send", "shop.other", "shop.rest")]
from celery.utils.quorum_queues import detect_quorum_queues
told = {name: [queue.queue_arguments, queue.exchange.name, queue.routing_key] for name, queue in queues.items()}
print(json.dumps([told, routes, detect_quorum_queues(celeryapp.app, "amqp")[0], inventory_settings.changes[-1]]))
"""
COPIES = {"x-queue-type": "quorum", "x-delivery-limit": -1}
BROKERS = "pyamqp://a;pyamqp://b;pyamqp://c"


def queues(folder: Path, mine: bool, brokers: str, settings: str = "") -> Any:
    (folder / "celeryapp.py").write_text(CELERY_APP.replace("MINE", str(mine)), encoding="utf-8")
    (folder / "settings.py").write_text(STARTPROJECT + settings, encoding="utf-8")
    result = run_with(folder, PRINT_QUEUES, PROJECT_SETTINGS_MODULE="settings", CELERY_BROKER_URL=brokers)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_queues_have_copies_on_several_brokers(tmp_path: Path) -> None:
    found, routes, detected, told = queues(tmp_path, False, BROKERS)
    assert {name: arguments for name, (arguments, _, _) in found.items()} == {
        "celery": COPIES,
        "mail": COPIES,
        "made": COPIES,
    }
    assert routes == ["mail", "made", "celery"]
    # Then Celery asks for no limit over all consumers, which these queues can't have.
    assert detected
    assert told == "Celery's queues: with copies on all brokers"


def test_queues_of_the_project_stay_what_they_are(tmp_path: Path) -> None:
    found, routes, _, _ = queues(tmp_path, True, BROKERS)
    assert found["mail"] == [COPIES | {"x-single-active-consumer": True}, "letters", "mail.#"]
    others = {name: found[name][0] for name in ("chosen", "urgent", "short")}
    assert others == {"chosen": {"x-queue-type": "classic"}, "urgent": {"x-max-priority": 5}, "short": None}
    assert [arguments for arguments, exchange, _ in found.values() if exchange == "all"] in ([None], [{}])
    assert routes[:2] == ["mail", "made"]


@pytest.mark.parametrize(
    ("brokers", "settings"), [("pyamqp://a", ""), (BROKERS, "SHOP_TASK_DEFAULT_QUEUE_TYPE = 'classic'")]
)
def test_queues_stay_where_there_is_one_broker_or_another_choice(tmp_path: Path, brokers: str, settings: str) -> None:
    found, _, detected, _ = queues(tmp_path, False, brokers, settings)
    assert not detected
    assert not any(arguments for arguments, _, _ in found.values())


CONNECT = """
import sys, inventory_settings
from kombu import Connection
try:
    Connection(sys.argv[1], connect_timeout=5).transport.establish_connection()
except Exception as error:
    print(f"{type(error).__name__}: {error}; {inventory_settings.changes[-1]}")
"""


@pytest.mark.parametrize("known", [True, False])
def test_a_broker_on_another_host_is_known_by_its_authority(known: bool, tmp_path: Path) -> None:
    """The server takes a client that knows it, and closes; the password is sent to none that isn't known."""
    member = CERTIFICATES.member(tmp_path, "10.0.0.1", datetime.now(UTC), "rabbitmq")
    stranger = CERTIFICATES.member(tmp_path / "other", "10.0.0.1", datetime.now(UTC), "rabbitmq")
    (tmp_path / "authority.pem").write_text((member if known else stranger)["authority"], encoding="utf-8")
    (tmp_path / "pair.pem").write_text(member["certificate"] + member["key"], encoding="utf-8")
    (tmp_path / "settings.py").write_text(STARTPROJECT, encoding="utf-8")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = subprocess.Popen(
            [sys.executable, "-c", CONNECT, f"amqps://shop:secret@127.0.0.1:{server.getsockname()[1]}/shop"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(FILES),
                "DJANGO_SETTINGS_MODULE": "inventory_settings",
                "PROJECT_SETTINGS_MODULE": "settings",
                "DJANGO_SECRET_KEY": KEY,
                "DATABASE_URL": "sqlite://:memory:",
                "CELERY_BROKER_AUTHORITY": str(tmp_path / "authority.pem"),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        server.settimeout(30)
        taken = server.accept()[0]
        with taken, contextlib.suppress(ssl.SSLError), context.wrap_socket(taken, server_side=True) as connection:
            assert connection.recv(4) == (b"AMQP" if known else b"")
        said = client.communicate(timeout=30)[0]
    expected = "Server unexpectedly closed connection" if known else "certificate verify failed"
    assert expected in said
    assert said.strip().endswith("; Celery's broker: its certificate is checked")
