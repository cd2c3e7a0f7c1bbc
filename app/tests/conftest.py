"""What several tests need."""

import functools
import os
import runpy
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connections
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from oauth2_provider.models import Application
from pytest_django import Settings as DjangoSettings

from .postgresql import postgresql
from .server import Server, served

APP = Path(__file__).parent.parent
# A password of which a shell, systemd, a URL parser or a template would each mangle some part.
TORTURE = 'a$b`c"d\\e%f@g/h#i j{k}' + "\N{GREEK SMALL LETTER LAMDA}'${HOME}{{USER}}"


# Other examples at every run, and no file of those that failed: the seed repeats them.
# Without looking for a smaller example, which takes minutes.
PHASES = (Phase.explicit, Phase.generate)
hypothesis_settings.register_profile("project", database=None, deadline=None, phases=PHASES)
hypothesis_settings.load_profile("project")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, unless it is given."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed at the begin."""
    return f"random examples: --hypothesis-seed={config.option.hypothesis_seed} repeats them"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Print the seed at the end of what failed, since a quiet run has no header."""
    if exitstatus:
        terminalreporter.write_line(pytest_report_header(terminalreporter.config))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # In a file, as deployed: a database in memory has neither WAL nor a second writer.
    file = tmp_path_factory.mktemp("database") / "test.sqlite3"
    connections["default"].settings_dict["TEST"]["NAME"] = str(file)
    with postgresql() as server:
        connections["postgresql"].settings_dict |= server
        yield


class PostgreSQLRouter:
    """Sends every query to the second database."""

    def db_for_read(self, model: object, **_: object) -> str:
        return "postgresql"

    def db_for_write(self, model: object, **_: object) -> str:
        return "postgresql"

    def allow_relation(self, one: object, other: object, **_: object) -> bool:
        return True


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, settings: DjangoSettings) -> str:
    """Run a test on both; return the alias of the database. Needs the mark `both_engines`."""
    if request.param == "sqlite":
        return "default"
    settings.DATABASE_ROUTERS = [f"{__name__}.PostgreSQLRouter"]
    return "postgresql"


both_engines = pytest.mark.django_db(databases=["default", "postgresql"])
both_engines_for_real = pytest.mark.django_db(databases=["default", "postgresql"], transaction=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project as it is checked out."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(APP / "manage.py", folder)
    shutil.copytree(APP / "tutorial", folder / "tutorial", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(project: Path) -> Run:
    """Run Python in the copied project, with nothing but the given variables in its environment."""

    def run(
        *arguments: str | Path, cwd: Path = project, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
        )

    return run


Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def settings_with(project: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The copied project's settings under the given environment variables and no others."""

    def settings_with(**environment: str) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            for name in os.environ:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            return runpy.run_path(str(project / "tutorial" / "settings.py"))

    return settings_with


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin as a process of the worker does, which has looked at no tokens before."""
    from tutorial import cleanup, tasks

    monkeypatch.setattr(tasks, "_mark", cleanup.Mark())


@pytest.fixture
def celery_app() -> Celery:
    from tutorial.celery import app

    return app


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_superuser("operator", password="correct horse")


@pytest.fixture
def owner(db: None) -> dict[str, Any]:
    """What tokens need; ask for `engine` before it."""
    owner = User.objects.create(username="owner")
    return {"user": owner, "application": Application.objects.create(user=owner, client_secret="")}


Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def serve(django_db_setup: None) -> Iterator[Serve]:
    """Serve the project until the last test, once for each engine and environment: a start takes seconds."""
    with ExitStack() as servers:
        yield functools.cache(
            lambda engine, **environment: servers.enter_context(served(engine, **environment))
        )


@pytest.fixture
def server(engine: str, serve: Serve) -> Server:
    """The project over HTTP, on both engines. Needs the mark `both_engines_for_real`."""
    # Attempts of earlier tests would count; no flush of the database empties this table, which is no model's.
    cache.clear()
    return serve(engine)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database that `manage.py migrate` has made, which takes seconds."""
    file = tmp_path_factory.mktemp("migrated") / "db.sqlite3"
    environment = {"DATABASE_URL": f"sqlite:///{quote(str(file))}", "DJANGO_SECRET_KEY": "x" * 50}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=APP, env=environment, check=True)
    return file
