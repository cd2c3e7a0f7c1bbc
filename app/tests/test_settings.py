"""What the environment makes of the settings."""

import os
import shutil
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from environs import EnvValidationError
from kombu import Connection

from tutorial.consumer import Consumer
from tutorial.secret_key import local_secret_key

from .conftest import TORTURE, Run, Settings


def test_without_environment_it_is_safe_and_runs_by_hand(settings_with: Settings, project: Path) -> None:
    settings = settings_with()

    assert settings["DEBUG"] is False
    assert settings["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert settings["CORS_ALLOWED_ORIGINS"] == []
    assert settings["CELERY_BROKER_URL"] == "pyamqp://guest@localhost//"
    assert settings["DATABASES"]["default"]["NAME"] == str(project / "db.sqlite3")


def test_missing_secret_key_is_made_once_for_its_owner_only(settings_with: Settings, project: Path) -> None:
    first = settings_with()["SECRET_KEY"]

    assert len(first) >= 50
    assert settings_with()["SECRET_KEY"] == first
    assert stat.S_IMODE((project / ".secret_key").stat().st_mode) == 0o600


def test_projects_do_not_share_a_made_key(tmp_path: Path) -> None:
    assert local_secret_key(tmp_path / "one") != local_secret_key(tmp_path / "two")


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tutorial.secret_key import *; sys.stdin.read(); "
    code += f"print(local_secret_key(Path({str(tmp_path / 'key')!r})))"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(5)
    ]
    for process in processes:  # all are waiting for the end of their input
        assert process.stdin
        process.stdin.close()
    keys = set()
    for process in processes:
        assert process.stdout
        with process:
            keys.add(process.stdout.read())

    assert len(keys) == 1
    assert keys != {b""}
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_read_only_release_without_a_key_is_refused_with_what_to_set() -> None:
    # Not even root can make a file in /proc.
    with pytest.raises(ImproperlyConfigured, match="set DJANGO_SECRET_KEY, or DJANGO_SECRET_KEY_FILE"):
        local_secret_key(Path("/proc/.secret_key"))


def test_former_keys_are_read_a_line_each(settings_with: Settings) -> None:
    assert settings_with()["SECRET_KEY_FALLBACKS"] == []
    assert settings_with(DJANGO_SECRET_KEY_FALLBACKS="")["SECRET_KEY_FALLBACKS"] == []
    assert settings_with(DJANGO_SECRET_KEY_FALLBACKS="a,b c\nd")["SECRET_KEY_FALLBACKS"] == ["a,b c", "d"]


def test_given_key_leaves_no_file(settings_with: Settings, project: Path) -> None:
    assert settings_with(DJANGO_SECRET_KEY="given")["SECRET_KEY"] == "given"
    assert not (project / ".secret_key").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DJANGO_SECRET_KEY", ""),
        ("DJANGO_DEBUG", "perhaps"),
        ("DATABASE_URL", "nonsense"),
        ("OAUTH_ACCESS_TOKEN_SECONDS", "0"),
        ("OAUTH_REFRESH_TOKEN_SECONDS", "ever"),
        ("OAUTH_REDIRECT_SCHEMES", "javascript"),
        ("OAUTH_REDIRECT_SCHEMES", "com.example.app:/"),
        ("OAUTH_REDIRECT_SCHEMES", "com.example.app,,"),
        ("OAUTH_DEVELOPMENT_ORIGINS", "http://staging.example:3000"),
        ("OAUTH_DEVELOPMENT_ORIGINS", "http://localhost:3000/"),
        ("OAUTH_DEVELOPMENT_ORIGINS", "localhost:3000"),
        ("DJANGO_LOG_LEVEL", "loud"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_variable(
    settings_with: Settings, variable: str, value: str
) -> None:
    with pytest.raises(EnvValidationError, match=variable):
        settings_with(**{variable: value})


@pytest.mark.parametrize("ending", ["", "\n"])
def test_secrets_survive_from_files(settings_with: Settings, tmp_path: Path, ending: str) -> None:
    password = quote(TORTURE, safe="")
    for name, value in {
        "key": TORTURE,
        "broker": f"pyamqp://someone:{password}@localhost/there",
        "database": f"postgres://someone:{password}@localhost/there",
    }.items():
        (tmp_path / name).write_text(value + ending)

    settings = settings_with(
        DJANGO_SECRET_KEY_FILE=str(tmp_path / "key"),
        CELERY_BROKER_URL_FILE=str(tmp_path / "broker"),
        DATABASE_URL_FILE=str(tmp_path / "database"),
    )

    assert settings["SECRET_KEY"] == TORTURE
    assert Connection(settings["CELERY_BROKER_URL"]).password == TORTURE
    assert settings["DATABASES"]["default"]["PASSWORD"] == TORTURE


def test_one_broker_has_classic_queues_and_three_have_copies(settings_with: Settings) -> None:
    one = settings_with(CELERY_BROKER_URL="pyamqp://a:b@10.0.0.1//")
    urls = [f"pyamqp://a:b@10.0.0.{number}:5672/there" for number in (2, 3, 1)]
    three = settings_with(CELERY_BROKER_URL=";".join(urls))

    single = {"x-single-active-consumer": True}
    quorum = {"x-queue-type": "quorum", "x-delivery-limit": -1}
    assert [queue.queue_arguments for queue in one["CELERY_TASK_QUEUES"]] == [None, single]
    assert [queue.queue_arguments for queue in three["CELERY_TASK_QUEUES"]] == [quorum, quorum | single]
    assert "CELERY_WORKER_CONSUMER" not in one
    assert (one["CELERY_BROKER_HEARTBEAT"], three["CELERY_BROKER_HEARTBEAT"]) == (10, 3)
    connection = Connection(three["CELERY_BROKER_URL"])
    assert (connection.hostname, connection.alt) == ("10.0.0.2", urls)


def test_brokers_on_other_hosts_are_known_by_their_authority(settings_with: Settings) -> None:
    assert "CELERY_BROKER_USE_SSL" not in settings_with(CELERY_BROKER_URL="pyamqp://a:b@127.0.0.1//")
    settings = settings_with(CELERY_BROKER_URL="amqps://a:b@10.0.0.1//", CELERY_BROKER_AUTHORITY="/a.pem")
    known_by = {"ca_certs": "/a.pem", "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "rabbitmq"}
    assert settings["CELERY_BROKER_USE_SSL"] == known_by


# Of tasks that other tests have made twice.
@pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning")
def test_the_worker_of_a_cluster_waits_for_nothing_but_its_tasks() -> None:
    app = Celery("some", broker="memory://")
    app.conf.worker_consumer = Consumer
    worker: Any = app.WorkController(pool="solo")
    used = {type(step).__name__ for step in worker.consumer.steps}
    assert {"Connection", "Tasks", "Control"} <= used
    assert not used & {"Mingle", "Gossip", "Heart", "DelayedDelivery"}


def test_secrets_survive_from_variables(settings_with: Settings) -> None:
    password = quote(TORTURE, safe="")
    settings = settings_with(
        DJANGO_SECRET_KEY=TORTURE,
        CELERY_BROKER_URL=f"pyamqp://someone:{password}@localhost/there",
        DATABASE_URL=f"postgres://someone:{password}@localhost/there",
    )

    assert settings["SECRET_KEY"] == TORTURE
    assert Connection(settings["CELERY_BROKER_URL"]).password == TORTURE
    assert settings["DATABASES"]["default"]["PASSWORD"] == TORTURE


def test_missing_file_is_refused_by_the_name_of_its_variable(run: Run) -> None:
    result = run("manage.py", "check", DJANGO_SECRET_KEY_FILE="/nowhere")

    assert result.returncode != 0
    assert "DJANGO_SECRET_KEY_FILE must be a readable file path" in result.stderr


# Every variable, with a value that isn't its default, and where it must arrive.
VARIABLES = [
    ("DJANGO_SECRET_KEY", "k", "SECRET_KEY", "k"),
    ("DJANGO_DEBUG", "true", "DEBUG", True),
    ("DJANGO_ALLOWED_HOSTS", "a.example, b.example", "ALLOWED_HOSTS", ["a.example", "b.example"]),
    ("DJANGO_CSRF_TRUSTED_ORIGINS", "https://a.example", "CSRF_TRUSTED_ORIGINS", ["https://a.example"]),
    ("DJANGO_SERVED_OVER_TLS", "true", "SERVED_OVER_TLS", True),
    ("CORS_ALLOWED_ORIGINS", "https://a.example", "CORS_ALLOWED_ORIGINS", ["https://a.example"]),
    ("CELERY_BROKER_URL", "memory://", "CELERY_BROKER_URL", "memory://"),
    ("DATABASE_URL", "sqlite:////tmp/x", "DATABASES.default.NAME", "/tmp/x"),
    ("OAUTH_ACCESS_TOKEN_SECONDS", "60", "OAUTH2_PROVIDER.ACCESS_TOKEN_EXPIRE_SECONDS", 60),
    ("OAUTH_REFRESH_TOKEN_SECONDS", "60", "OAUTH2_PROVIDER.REFRESH_TOKEN_EXPIRE_SECONDS", 60),
    (
        "OAUTH_REDIRECT_SCHEMES",
        "com.example.app, cursor",
        "OAUTH_REDIRECT_SCHEMES",
        ["com.example.app", "cursor"],
    ),
    (
        "OAUTH_DEVELOPMENT_ORIGINS",
        "http://localhost:3000, http://[::1]:80",
        "OAUTH_DEVELOPMENT_ORIGINS",
        ["http://localhost:3000", "http://[::1]:80"],
    ),
    ("DJANGO_LOG_LEVEL", "error", "LOGGING.root.level", 40),
]


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize(("variable", "value", "setting", "expected"), VARIABLES)
def test_every_variable_arrives_directly_and_from_a_file(
    settings_with: Settings,
    tmp_path: Path,
    variable: str,
    value: str,
    setting: str,
    expected: object,
    from_file: bool,
) -> None:
    if from_file:
        (tmp_path / "value").write_text(value + "\n")
        environment = {f"{variable}_FILE": str(tmp_path / "value")}
    else:
        environment = {variable: value}
    found: object = settings_with(**environment)
    for part in setting.split("."):
        assert isinstance(found, dict)
        found = found[part]

    assert found == expected


def test_token_lives_are_finite_by_default(settings_with: Settings) -> None:
    provider = settings_with()["OAUTH2_PROVIDER"]

    assert provider["ACCESS_TOKEN_EXPIRE_SECONDS"] == 3600
    assert provider["REFRESH_TOKEN_EXPIRE_SECONDS"] == 30 * 24 * 3600


@pytest.mark.parametrize("tls", ["false", "true"])
def test_deployment_check_has_no_warning(run: Run, tls: str) -> None:
    result = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", DJANGO_SERVED_OVER_TLS=tls)

    assert result.returncode == 0, result.stderr


HTTP_TO_LOOPBACK = "oauth2_provider.W008"
HSTS = ["security.W004", "security.W005", "security.W021"]


def test_behind_tls_cookies_are_secure_and_nothing_is_silenced(settings_with: Settings) -> None:
    settings = settings_with(DJANGO_SERVED_OVER_TLS="true")

    assert settings["SESSION_COOKIE_SECURE"] is True
    assert settings["CSRF_COOKIE_SECURE"] is True
    assert settings["SILENCED_SYSTEM_CHECKS"] == [HTTP_TO_LOOPBACK, *HSTS]


def test_hsts_begins_short_and_grows_by_choice(run: Run, settings_with: Settings) -> None:
    settings = settings_with(DJANGO_SERVED_OVER_TLS="true")
    assert settings["SECURE_HSTS_SECONDS"] == 3600
    assert not settings["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert not settings["SECURE_HSTS_PRELOAD"]
    assert settings_with(DJANGO_HSTS_SECONDS="60")["SECURE_HSTS_SECONDS"] == 0

    chosen = {
        "DJANGO_HSTS_SECONDS": "31536000",
        "DJANGO_HSTS_SUBDOMAINS": "true",
        "DJANGO_HSTS_PRELOAD": "true",
    }
    settings = settings_with(DJANGO_SERVED_OVER_TLS="true", **chosen)
    assert settings["SECURE_HSTS_SECONDS"] == 31_536_000
    assert settings["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert settings["SECURE_HSTS_PRELOAD"]


def test_without_tls_only_the_tls_warnings_are_silenced(settings_with: Settings) -> None:
    settings = settings_with()

    assert settings["SESSION_COOKIE_SECURE"] is False
    tls = [f"security.{w}" for w in ("W004", "W008", "W012", "W016")]
    assert settings["SILENCED_SYSTEM_CHECKS"] == [HTTP_TO_LOOPBACK, *tls]


REQUEST = """
import django; django.setup()
from django.test import Client
for path, headers in [("/", {}), ("/", {"X-Forwarded-Proto": "https"}), ("/healthz", {})]:
    response = Client().get(path, headers={"Host": "localhost", **headers})
    print(response.status_code, response.headers.get("Strict-Transport-Security"))
"""


def test_behind_tls_plain_http_is_redirected_except_for_health_checks(
    run: Run, project: Path, migrated: Path
) -> None:
    shutil.copy(migrated, project / "db.sqlite3")
    result = run("-c", REQUEST, DJANGO_SETTINGS_MODULE="tutorial.settings", DJANGO_SERVED_OVER_TLS="true")

    assert result.stdout.splitlines() == [
        "301 None",
        "200 max-age=3600",
        "200 None",
    ]


def test_without_tls_a_spoofed_proxy_header_changes_nothing(run: Run, project: Path, migrated: Path) -> None:
    shutil.copy(migrated, project / "db.sqlite3")
    result = run("-c", REQUEST, DJANGO_SETTINGS_MODULE="tutorial.settings")

    assert result.stdout.splitlines() == ["200 None"] * 3


@pytest.mark.django_db
def test_sqlite_is_shared_well_by_three_processes() -> None:
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cursor.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL
        assert cursor.execute("PRAGMA busy_timeout").fetchone() == (20_000,)
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_postgresql_connections_are_kept_and_checked(settings_with: Settings) -> None:
    database = settings_with(DATABASE_URL="postgres://u:p@db.example/name")["DATABASES"]["default"]

    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert database["CONN_MAX_AGE"] == 60
    assert database["CONN_HEALTH_CHECKS"] is True
    assert database["OPTIONS"] == {"connect_timeout": 5}


def test_options_in_the_url_are_merged(settings_with: Settings) -> None:
    sqlite = settings_with(DATABASE_URL="sqlite:////tmp/x?timeout=60")["DATABASES"]["default"]["OPTIONS"]
    assert sqlite["timeout"] == 60
    assert sqlite["transaction_mode"] == "IMMEDIATE"
    postgresql = settings_with(DATABASE_URL="postgres://u:p@h/n?sslmode=require&connect_timeout=9")
    assert postgresql["DATABASES"]["default"]["OPTIONS"] == {"sslmode": "require", "connect_timeout": 9}


LEVELS = """
import django; django.setup()
import logging
for name in ("x", "django", "django.request", "django.server", "oauth2_provider", "oauthlib"):
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger(name), level)("said at %s", level)
"""


@pytest.mark.parametrize(("level", "expected"), [("ERROR", 6), ("WARNING", 12), ("INFO", 18), ("DEBUG", 23)])
def test_one_level_governs_all(run: Run, level: str, expected: int) -> None:
    found = run("-c", LEVELS, DJANGO_SETTINGS_MODULE="tutorial.settings", DJANGO_LOG_LEVEL=level).stderr

    assert found.count("said at") == expected  # oauthlib's debug lines would show tokens


def log_line(project: Path, *, journal: bool) -> str:
    """What a process logs whose stderr is, or isn't, the journal's."""
    read, write = os.pipe()
    pipe = os.fstat(write)
    stream = f"{pipe.st_dev}:{pipe.st_ino}" if journal else "1:1"
    code = "import django; django.setup(); import logging; logging.getLogger('x').warning('hello')"
    environment = {"JOURNAL_STREAM": stream, "DJANGO_SETTINGS_MODULE": "tutorial.settings"}
    subprocess.run([sys.executable, "-c", code], cwd=project, env=environment, stderr=write, check=True)
    os.close(write)
    with os.fdopen(read) as stderr:
        return stderr.read()


def test_lines_have_a_timestamp_by_hand_but_none_in_the_journal(project: Path) -> None:
    assert log_line(project, journal=True) == "[WARNING/MainProcess] x: hello\n"
    assert log_line(project, journal=False).endswith(": WARNING/MainProcess] x: hello\n")
