"""A SQLite file is copied into PostgreSQL as it is, or nothing is: real databases, each of Django's fields."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project import ROOT, load_plugin

postgresql = load_plugin("app/tests/postgresql.py").postgresql
CODE = (ROOT / "roles/django_app/files/copy_database.py").read_text(encoding="utf-8")
RUN_SHELL = (ROOT / "roles/django_app/files/run_shell.py").read_text(encoding="utf-8")
SETTINGS = """
import json, os
SECRET_KEY = "x"
DATABASES = {"default": json.loads(os.environ["DATABASE"])}
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "things",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = os.environ.get("NAIVE") is None
TIME_ZONE = "Europe/Berlin"
print("Hello from the settings")
"""
MODELS = """
import uuid
from django.contrib.auth.models import User
from django.db import models

class Tag(models.Model):
    name = models.CharField(max_length=5, unique=True)

class Thing(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey(User, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag, db_table="a_name_of_a_table_that_is_much_longer_than_sixty_three_letters_in_all")
    changed = models.DateTimeField(auto_now=True)
    day, hour = models.DateField(null=True), models.TimeField(null=True)
    took = models.DurationField(null=True)
    price = models.DecimalField(max_digits=12, decimal_places=3, null=True)
    weight = models.FloatField(null=True)
    data = models.JSONField(default=dict)
    blob = models.BinaryField(null=True)
    address = models.GenericIPAddressField(null=True)
    on = models.BooleanField(default=False)
    text = models.TextField()
    count = models.PositiveSmallIntegerField(default=0)

class Special(Thing):  # of two tables
    more = models.CharField(max_length=9)

class Node(models.Model):  # refers to rows that come later
    parent = models.ForeignKey("self", models.CASCADE, null=True)
"""
# As Wagtail's: what is searched is another thing on each server, and a virtual table keeps its rows in others.
SEARCH = """
from django.db import migrations
SQL = {
    "sqlite": ["CREATE TABLE entry (id integer PRIMARY KEY, body text)",
               "CREATE VIRTUAL TABLE entry_fts USING fts5(body)",
               "INSERT INTO entry VALUES (1, 'a word: ''quoted')", "INSERT INTO entry_fts VALUES ('a word')"],
    "postgresql": ["CREATE TABLE entry (id integer PRIMARY KEY, body tsvector)"],
}
def make(apps, editor):
    for sql in SQL[editor.connection.vendor]:
        editor.execute(sql)
class Migration(migrations.Migration):
    dependencies = [("things", "0001_initial")]
    operations = [migrations.RunPython(make)]
"""
FILL = """
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from django.conf import settings
from django.contrib.auth.models import User
from things.models import Node, Special, Tag, Thing
user = User.objects.create_user("zoe", password="x")
for number in range(1, 4):
    Tag.objects.create(name=f"t{number}")
Tag.objects.filter(name="t3").delete()
for number in range(20):
    thing = Special.objects.create(
        owner=user, day=date(2026, 1, 1 + number), hour=time(1, 2, 3, number),
        took=timedelta(days=-number, microseconds=7), price=Decimal("12345.678") * number, weight=0.1 * number,
        data={"a": ["ü", None, number, 1.5, True]}, blob=bytes(range(256)), address="2001:db8::1",
        on=bool(number % 2), count=number,
        text="tab\\t line\\n back\\\\slash \\\\N 'quote' \\U0001f600 " + "x" * number,
        more="more")
    thing.tags.set(Tag.objects.all())
tz = UTC if settings.USE_TZ else None
Thing.objects.update(changed=datetime(2020, 7, 1, 2, 3, 4, 5, tzinfo=tz))
Thing.objects.create(text="")
Node.objects.create(id=1); Node.objects.create(id=2, parent_id=1); Node.objects.filter(id=1).update(parent_id=2)
from django.contrib.sessions.backends.db import SessionStore
SessionStore().save()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with postgresql() as settings:
        yield settings


class Project:
    """A project with rows in a SQLite file, and an empty database of the server's."""

    def __init__(self, folder: Path, server: dict[str, Any], **environment: str) -> None:
        self.folder, self.path, self.environment = folder, folder / "db.sqlite3", environment
        self.old = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self.path)}
        self.new = server | {"NAME": "moved"}

    def make(self) -> None:
        (self.folder / "things").mkdir()
        (self.folder / "things/__init__.py").touch()
        (self.folder / "things/models.py").write_text(MODELS)
        (self.folder / "shop.py").write_text(SETTINGS)
        self.manage(self.old, "makemigrations", "things", "--verbosity=0")
        (self.folder / "things/migrations/0002_search.py").write_text(SEARCH)
        self.manage(self.old, "migrate", "--verbosity=0")
        self.shell(FILL)

    def empty(self) -> None:
        with self.connect("postgres") as database:
            database.autocommit = True
            database.execute("DROP DATABASE IF EXISTS moved")
            database.execute("CREATE DATABASE moved")

    def connect(self, name: str = "moved") -> Any:
        return psycopg.connect(host=self.new["HOST"], user=self.new["USER"], dbname=name)

    def manage(self, database: dict[str, Any], *arguments: str, text: str = "") -> str:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.folder), "DJANGO_SETTINGS_MODULE": "shop"}
        result = subprocess.run(
            [sys.executable, *(["-c", RUN_SHELL] if arguments[0] == "shell" else ["-m", "django"]), *arguments],
            cwd=self.folder,
            env=environment | {"DATABASE": json.dumps(database)} | self.environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def shell(self, code: str, database: dict[str, Any] | None = None) -> str:
        return self.manage(database or self.old, "shell", "--verbosity=0", "--command", code)

    def ask(self, verb: str, database: dict[str, Any] | None = None) -> Any:
        text = json.dumps({"verb": verb, "path": str(self.path)})
        default = self.old if verb == "look" else self.new
        # Without what the project prints while it is loaded.
        return json.loads(self.manage(database or default, "shell", "--verbosity=0", "--command", CODE, text=text))

    def everything(self, database: dict[str, Any]) -> Any:
        rows = json.loads(self.manage(database, "dumpdata").split("\n", 1)[1])
        return sorted(rows, key=lambda row: (row["model"], str(row["pk"])))


@pytest.fixture(scope="module")
def made(server: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("made"), server)
    project.make()
    return project


@pytest.fixture
def project(made: Project, server: dict[str, Any], tmp_path: Path) -> Project:
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    project = Project(tmp_path, server)
    project.empty()
    return project


@pytest.mark.parametrize("environment", [{}, {"NAIVE": "1"}], ids=["UTC", "local times"])
def test_each_row_arrives_as_it_was(project: Project, environment: dict[str, str]) -> None:
    project.environment = environment
    seen = project.ask("look")
    assert (seen["vendor"], seen["refused"], seen["tables"]["things_thing"]) == ("sqlite", "", 21)
    rehearsed = project.ask("rehearse")
    assert rehearsed["refused"] == ""
    assert rehearsed["left"] == ["entry (1 rows), which is a search index: let the project make it again"]
    with project.connect() as database:
        assert database.execute("SELECT count(*) FROM things_thing").fetchone() == (0,)
    assert not project.ask("look", project.new)["copied"]
    told = project.ask("copy")
    assert told["rows"] == rehearsed["rows"] == {name: rows for name, rows in seen["tables"].items() if name != "entry"}
    assert project.ask("look", project.new)["copied"]
    assert project.everything(project.new) == project.everything(project.old)
    # Numbers that were given once aren't given again, and the schema is what migrations make of it.
    project.shell("from things.models import Tag; assert Tag.objects.create(name='new').pk == 4", project.new)
    project.ask("settle")
    assert project.ask("rehearse")["refused"].startswith("The database moved on ")


def test_what_an_interrupted_move_left_is_replaced(project: Project) -> None:
    project.ask("rehearse")
    with project.connect() as database:
        database.execute("CREATE TYPE mood AS ENUM ('sad'); CREATE VIEW v AS SELECT 1; DELETE FROM things_special")
    assert project.ask("rehearse")["refused"] == ""
    assert project.ask("copy")["refused"] == ""
    assert project.everything(project.new) == project.everything(project.old)


def test_a_database_that_is_used_is_refused(project: Project) -> None:
    with project.connect() as database:
        database.execute("CREATE TABLE theirs (id int)")
    assert "isn't empty, it has the tables theirs" in project.ask("rehearse")["refused"]
    assert "isn't one" in project.ask("copy")["refused"]
    with project.connect() as database:
        tables = database.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (1,)


# What SQLite takes and PostgreSQL doesn't, and words of the sentence about it.
ODD = {
    "UPDATE things_tag SET name = 'secret-value' WHERE id = 2": ["Row 2 of things_tag, column name", "too long"],
    "UPDATE things_thing SET text = 'a' || char(0) || 'secret-value'": ["Row 1 of things_thing", "NUL"],
    'UPDATE things_thing SET data = \'{"a": "secret-value\\u0000"}\'': ["things_thing, column data", "escape"],
    "UPDATE things_thing SET text = CAST(x'ff' AS TEXT)": ["Row 1 of things_thing", "utf-8"],
    "ALTER TABLE things_thing ADD COLUMN old TEXT": ["things_thing has columns that it lacks on PostgreSQL (old)"],
}


def test_what_does_not_fit_is_named_and_nothing_is_kept(project: Project, made: Project) -> None:
    for number, (sql, words) in enumerate(ODD.items()):
        shutil.copy(made.path, project.path)
        with sqlite3.connect(project.path) as file:
            file.execute(sql)
        refused = project.ask("copy" if number else "rehearse")["refused"]
        assert all(word in refused for word in words), refused
        assert "secret-value" not in refused
        with project.connect() as database:
            assert database.execute("SELECT count(*) FROM django_migrations").fetchone() != (0,)
            assert database.execute("SELECT count(*) FROM things_node").fetchone() == (0,)


def test_files_that_cannot_be_moved_are_refused(project: Project) -> None:
    with sqlite3.connect(project.path) as file:
        file.execute("CREATE TABLE gone (id int)")
        file.execute("INSERT INTO gone VALUES (1)")
    assert project.ask("rehearse")["left"][1:] == ["gone (1 rows), that the release doesn't make on PostgreSQL"]
    with sqlite3.connect(project.path) as file:
        file.execute("INSERT INTO things_node (id, parent_id) VALUES (3, 99)")
    assert "1 rows refer to others that are gone (things_node to things_node)" in project.ask("look")["refused"]
    assert "don't fit together" in project.ask("rehearse")["refused"]
    with sqlite3.connect(project.path) as file:
        file.execute("DELETE FROM things_node WHERE id = 3")
        file.execute("DELETE FROM django_migrations WHERE app = 'things'")
    assert "migrations that the SQLite file lacks" in project.ask("look")["refused"]
    project.path.write_bytes(b"no database" * 1000)
    assert "can't be read" in project.ask("look")["refused"]
    project.ask("forget")
    assert not project.path.exists()
    assert "There is no SQLite file" in project.ask("look")["refused"]
    assert not project.path.exists()
