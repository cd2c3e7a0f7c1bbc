"""The fixture, and its loader inside and outside of this project."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from .conftest import APP, Run

FIXTURE = APP / "tests" / "one_task.json"
SHIPPED = APP / "tutorial" / "fixtures" / "periodic_tasks.json"
NAME = "clear stale tokens"
SCRIPT = Path("tutorial", "management", "commands", "load_periodic_tasks.py")


def load(fixture: Path = FIXTURE, *arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("load_periodic_tasks", str(fixture), *arguments, stdout=out)
    [line] = out.getvalue().splitlines()
    return dict(json.loads(line))


SOLAR = {
    "model": "django_celery_beat.solarschedule",
    "pk": 1,
    "fields": {"event": "sunset", "latitude": 50, "longitude": 8},
}

Edit = Callable[[Callable[[list[Any]], Any]], Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Return a copy of the fixture after an edit of its entries."""

    def edited(edit: Callable[[list[Any]], Any]) -> Path:
        entries = json.loads(FIXTURE.read_text())
        edit(entries)
        copy = tmp_path / "edited.json"
        copy.write_text(json.dumps(entries))
        return copy

    return edited


@pytest.mark.django_db
def test_plain_loaddata_works_on_an_empty_database() -> None:
    call_command("loaddata", "periodic_tasks", verbosity=0)

    tasks = {
        task.name: (task.task, str(task.interval), task.expire_seconds, task.enabled)
        for task in PeriodicTask.objects.all()
    }
    assert tasks == {
        NAME: ("tutorial.tasks.clear_tokens", "every 10 seconds", 9, True),
        "clear expired sessions": ("tutorial.tasks.clear_sessions", "every 10 seconds", 9, True),
        "clear expired device grants": ("tutorial.tasks.clear_device_grants", "every hour", 3540, True),
        "clear unused CIMD applications": (
            "tutorial.tasks.clear_cimd_applications",
            "every day",
            86_340,
            False,
        ),
    }


@pytest.mark.django_db
def test_shipped_fixture_loads_by_name() -> None:
    assert load(SHIPPED)["created"] == [
        NAME,
        "clear expired sessions",
        "clear expired device grants",
        "clear unused CIMD applications",
    ]
    assert load(SHIPPED)["changed"] is False


@pytest.mark.django_db
class TestLoader:
    def test_missing_task_is_created_and_reported(self) -> None:
        assert load() == {
            "changed": True,
            "created": [NAME],
            "updated": [],
            "kept": [],
            "tasks": [
                {
                    "name": NAME,
                    "task": "tutorial.tasks.clear_tokens",
                    "enabled": True,
                    "interval_seconds": 10,
                }
            ],
            "unknown": [],
        }
        assert PeriodicTask.objects.get().expire_seconds == 9

    def test_rows_that_no_worker_can_run_are_named_and_kept(self) -> None:
        schedule = IntervalSchedule.objects.create(every=10, period="seconds")
        PeriodicTask.objects.create(name="renamed", task="tutorial.tasks.old", interval=schedule)
        PeriodicTask.objects.create(name="off", task="tutorial.tasks.old", interval=schedule, enabled=False)
        PeriodicTask.objects.create(name="of Celery", task="celery.map", interval=schedule)

        assert load()["unknown"] == ["renamed"]
        assert PeriodicTask.objects.get(name="renamed").enabled

    def test_a_task_with_an_end_of_its_own_is_not_said_to_run_again_and_again(self) -> None:
        load()
        PeriodicTask.objects.update(one_off=True)

        assert load()["tasks"][0]["interval_seconds"] is None

    def test_first_run_is_due_at_once(self) -> None:
        load()

        assert PeriodicTask.objects.get().date_changed == datetime(2026, 1, 1, tzinfo=UTC)
        assert PeriodicTask.objects.get().schedule.is_due(datetime(2026, 1, 1, tzinfo=UTC)).is_due

    def test_records_of_another_host_are_not_taken_over(self, edited: Edit) -> None:
        records = {"last_run_at": "2026-01-02T00:00:00Z", "total_run_count": 7}

        load(edited(lambda entries: entries[1]["fields"].update(records)))

        task = PeriodicTask.objects.get()
        assert (task.last_run_at, task.total_run_count) == (None, 0)

    def test_date_changed_may_be_missing(self, edited: Edit) -> None:
        assert load(edited(lambda entries: entries[1]["fields"].pop("date_changed")))["created"] == [NAME]

    def test_second_load_changes_nothing(self) -> None:
        load()
        before = list(PeriodicTask.objects.values())

        assert load()["changed"] is False
        assert load(FIXTURE, "--fixture-wins")["changed"] is False
        assert list(PeriodicTask.objects.values()) == before
        assert IntervalSchedule.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_running_beat_notices_a_change_and_only_a_change(self) -> None:
        load()
        first = PeriodicTasks.last_change()
        assert first

        load()
        assert PeriodicTasks.last_change() == first

        PeriodicTask.objects.update(description="edited")
        load(FIXTURE, "--fixture-wins")
        assert PeriodicTasks.last_change() > first

    def test_operators_edits_survive(self) -> None:
        load()
        task = PeriodicTask.objects.get()
        task.enabled = False
        task.description = "mine"
        task.expire_seconds = None
        task.interval = IntervalSchedule.objects.create(every=1, period="hours")
        task.total_run_count = 42
        task.save()
        before = PeriodicTask.objects.values().get()

        report = load()

        assert PeriodicTask.objects.values().get() == before
        assert report["kept"] == [NAME]
        assert report["tasks"][0]["enabled"] is False
        assert report["tasks"][0]["interval_seconds"] == 3600

    def test_fixture_wins_when_asked_but_not_over_beats_records(self) -> None:
        load()
        last_run_at = datetime(2026, 2, 2, tzinfo=UTC)
        hourly = IntervalSchedule.objects.create(every=1, period="hours")
        PeriodicTask.objects.update(
            description="mine", interval=hourly, last_run_at=last_run_at, total_run_count=42
        )

        report = load(FIXTURE, "--fixture-wins")

        task = PeriodicTask.objects.get()
        assert (report["changed"], report["updated"]) == (True, [NAME])
        assert (task.interval.every, task.interval.period) == (10, "seconds")
        assert task.description.startswith("Deletes")
        assert (task.last_run_at, task.total_run_count) == (last_run_at, 42)
        assert load(FIXTURE, "--fixture-wins")["changed"] is False

    def test_fixture_wins_over_another_kind_of_schedule(self) -> None:
        load()
        PeriodicTask.objects.update(interval=None, crontab=CrontabSchedule.objects.create(hour="3"))

        assert load(FIXTURE, "--fixture-wins")["updated"] == [NAME]
        assert PeriodicTask.objects.get().crontab is None

    def test_fixture_wins_leaves_fields_that_it_does_not_name(self, edited: Edit) -> None:
        load()
        PeriodicTask.objects.update(description="mine")

        report = load(edited(lambda entries: entries[1]["fields"].pop("description")), "--fixture-wins")

        assert report["changed"] is False
        assert PeriodicTask.objects.get().description == "mine"

    def test_empty_queue_in_the_fixture_is_not_a_change_for_ever(self, edited: Edit) -> None:
        fixture = edited(lambda entries: entries[1]["fields"].update({"queue": ""}))
        load(fixture)

        assert load(fixture, "--fixture-wins")["changed"] is False

    def test_rows_that_have_the_fixtures_primary_keys_are_left_alone(self) -> None:
        daily = IntervalSchedule.objects.create(pk=1, every=1, period="days")
        PeriodicTask.objects.create(pk=1, name="another", task="x", interval=daily)

        assert load()["created"] == [NAME]
        assert PeriodicTask.objects.get(pk=1).name == "another"
        assert IntervalSchedule.objects.get(pk=1) == daily
        assert PeriodicTask.objects.get(name=NAME).interval.every == 10

    def test_present_schedule_is_used_again(self) -> None:
        present = IntervalSchedule.objects.create(pk=5, every=10, period="seconds")

        load()

        assert PeriodicTask.objects.get().interval == present

    def test_every_kind_of_schedule_is_loaded(self, tmp_path: Path) -> None:
        task = "tutorial.tasks.clear_tokens"
        crontab = CrontabSchedule.objects.create(minute="5", hour="4")
        PeriodicTask.objects.create(name="by clock", task=task, crontab=crontab)
        interval = IntervalSchedule.objects.create(every=500_000, period="microseconds")
        PeriodicTask.objects.create(name="often", task=task, interval=interval)
        dump = tmp_path / "dump.json"
        call_command("dumpdata", "django_celery_beat", output=str(dump), verbosity=0)
        for model in (PeriodicTask, PeriodicTasks, CrontabSchedule, IntervalSchedule):
            model.objects.all().delete()

        report = load(dump)

        assert [(t["name"], t["interval_seconds"]) for t in report["tasks"]] == [
            ("by clock", None),
            ("often", 0.5),
        ]
        assert load(dump, "--fixture-wins")["changed"] is False

    def test_check_tells_but_changes_nothing(self) -> None:
        rehearsal = load(FIXTURE, "--check")

        assert not PeriodicTask.objects.exists()
        assert not IntervalSchedule.objects.exists()
        assert PeriodicTasks.last_change() is None
        assert rehearsal == load()
        assert load(FIXTURE, "--check")["changed"] is False

    @pytest.mark.parametrize(
        ("edit", "sentence"),
        [
            (lambda e: e[0]["fields"].update(every=0), "interval 1 is not valid: every: .*greater than"),
            (lambda e: e[0]["fields"].update(every="x"), "not a Django fixture"),
            (lambda e: e[0]["fields"].update(period="fortnights"), "interval 1 is not valid: period"),
            (lambda e: e.append(e[1]), f'has 2 periodic tasks with the name "{NAME}"'),
            (lambda e: e.pop(0), "refers to interval 1, which is not in the fixture"),
            (
                lambda e: e[1]["fields"].pop("interval"),
                "needs exactly one of interval, crontab, solar, clocked",
            ),
            (lambda e: e.pop(1), "has no periodic task"),
            (lambda e: e.clear(), "has no periodic task"),
            (lambda e: e[0].update(model="auth.group", fields={"name": "x"}), "has also auth.group"),
            (lambda e: e[0].update(model="no.such"), "not a Django fixture"),
            (lambda e: e[1]["fields"].update(color="red"), "not a Django fixture"),
            (lambda e: e[1]["fields"].update(name=""), "name: This field cannot be blank"),
            (lambda e: e[1]["fields"].update(args="[1"), "args: .*JSON"),
            (lambda e: e[1]["fields"].update(args="{}"), "args: must be a JSON list"),
            (lambda e: e[1]["fields"].update(args="[1, 2, 3]"), "can't be called so: .*argument"),
            (lambda e: e[1]["fields"].update(kwargs="[]"), "kwargs: must be a JSON object"),
            (lambda e: e[1]["fields"].update(kwargs='{"a": 1}'), "can't be called so: .*argument"),
            (lambda e: e[1]["fields"].update(headers="null"), "headers: must be a JSON object"),
            (lambda e: e[1]["fields"].update(headers="[]"), "headers: must be a JSON object"),
            (lambda e: e[1]["fields"].update(headers="5"), "headers: must be a JSON object"),
            (lambda e: e[1]["fields"].update(headers='"abc"'), "headers: must be a JSON object"),
            (lambda e: e[1]["fields"].update(headers="[" * 100_000), "headers: not JSON"),
            (lambda e: e[1]["fields"].update(queue="a\x1b[2J"), "queue: has a character"),
            (lambda e: e[1]["fields"].update(priority=300), "priority: "),
            (lambda e: e[1]["fields"].update(headers='{"id": 5}'), "can't run: headers: id is Celery's own"),
            (
                lambda e: e[1]["fields"].update(headers='{"a": NaN}'),
                "headers: a number must be finite",
            ),
            (lambda e: e[1]["fields"].update(headers=json.dumps({"a": "x" * 130_000})), "are longer than"),
            (lambda e: e[1]["fields"].update(expire_seconds=2**31 - 1), "can't run: expire_seconds: must be"),
            (lambda e: e[1]["fields"].update(expires="2027-01-01T00:00:00Z"), "expire"),
            (
                lambda e: e[1]["fields"].update(queue="\N{EURO SIGN}" * 100),
                "queue: is longer",
            ),
            (lambda e: e[0]["fields"].update(every=2**31 - 1, period="days"), "interval 1 is not valid"),
            (lambda e: e.append(SOLAR), "solar 1 is not valid: .*ephem"),
            (
                lambda e: e.append(
                    {
                        "model": "django_celery_beat.crontabschedule",
                        "pk": 1,
                        "fields": {"timezone": "Mars/Base"},
                    }
                ),
                "not a Django fixture|timezone",
            ),
            (
                lambda e: e.append(
                    {
                        "model": "django_celery_beat.crontabschedule",
                        "pk": 1,
                        "fields": {"day_of_month": "31", "month_of_year": "2"},
                    }
                ),
                "crontab 1 is not valid",
            ),
            (
                lambda e: e[1]["fields"].update(expires="2030-01-01T00:00:00Z"),
                "Only one can be set, in expires and expire_seconds",
            ),
            (
                lambda e: e[1]["fields"].update(task="tutorial.task.clear_token"),
                "does not register; the nearest it registers is tutorial.tasks.clear_tokens",
            ),
        ],
    )
    def test_bad_fixture_is_refused_and_nothing_written(
        self, edited: Edit, edit: Callable[[list[Any]], Any], sentence: str
    ) -> None:
        with pytest.raises(CommandError, match=sentence):
            load(edited(edit))

        assert not PeriodicTask.objects.exists()
        assert not IntervalSchedule.objects.exists()

    @pytest.mark.parametrize("text", ["{", "", "\udcff", "3", "null", '{"a": 1}', "[1]"])
    def test_what_is_no_fixture_is_refused(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "file.json"
        file.write_bytes(text.encode(errors="surrogateescape"))

        with pytest.raises(CommandError, match=r"is not JSON|is not a Django fixture|has no periodic task"):
            load(file)

    def test_missing_fixture_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be read: No such file or directory"):
            load(tmp_path / "none.json")

    def test_error_midway_undoes_what_went_before(self, edited: Edit) -> None:
        def bad_second(entries: list[Any]) -> None:
            second = {**entries[1]["fields"], "name": "second", "expires": "2030-01-01T00:00:00Z"}
            entries.append({"model": "django_celery_beat.periodictask", "pk": 2, "fields": second})

        with pytest.raises(CommandError), transaction.atomic():
            load(edited(bad_second))

        assert not PeriodicTask.objects.exists()


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Another project, which knows nothing of this one's package."""
    package = tmp_path / "foreign" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(
        "SECRET_KEY = 'x'\n"
        "INSTALLED_APPS = ['django_celery_beat']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'shop.sqlite3'}}\n"
        "USE_TZ = True\n"
    )
    (package / "celery.py").write_text(
        "from celery import Celery\n"
        "app = Celery('shop')\n"
        "@app.task(name='shop.restock')\n"
        "def restock():\n"
        "    pass\n"
    )
    (package / "broken.py").write_text(
        "from celery import Celery\napp = Celery('shop', include=['nowhere'])\n"
    )
    return package.parent


def test_script_works_in_another_project(run: Run, project: Path, foreign: Path, edited: Edit) -> None:
    fixture = edited(lambda entries: entries[1]["fields"].update(task="shop.restock"))
    environment = {"DJANGO_SETTINGS_MODULE": "shop.settings", "CELERY_APP": "shop"}
    run("-m", "django", "migrate", "-v0", cwd=foreign, PYTHONPATH=str(foreign), **environment)

    first = run(project / SCRIPT, fixture, cwd=foreign, **environment)
    second = run(project / SCRIPT, fixture, cwd=foreign, **environment)

    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["created"] == [NAME]
    assert json.loads(second.stdout)["changed"] is False


def test_script_finds_the_tasks_of_a_project_that_imports_its_celery_app(
    run: Run, project: Path, migrated: Path
) -> None:
    environment = {"DJANGO_SETTINGS_MODULE": "tutorial.settings"}
    shutil.copy(migrated, project / "db.sqlite3")

    result = run(project / SCRIPT, FIXTURE, "--check", **environment)

    assert json.loads(result.stdout)["created"] == [NAME]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "Error: the Django project cannot be loaded: ImproperlyConfigured"),
        (
            {"DJANGO_SETTINGS_MODULE": "none"},
            "Error: the Django project cannot be loaded: ModuleNotFoundError",
        ),
        ({"DJANGO_SETTINGS_MODULE": "shop.settings"}, "application default does not register"),
        (
            {"DJANGO_SETTINGS_MODULE": "shop.settings", "CELERY_APP": "shop"},
            "calls tutorial.tasks.clear_tokens, which the Celery application shop does not register",
        ),
        (
            {"DJANGO_SETTINGS_MODULE": "shop.settings", "CELERY_APP": "shop.broken"},
            "Error: The tasks cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
        ),
    ],
)
def test_script_explains_an_error_in_one_line(
    run: Run, project: Path, foreign: Path, environment: dict[str, str], sentence: str
) -> None:
    result = run(project / SCRIPT, FIXTURE, cwd=foreign, **environment)

    assert result.returncode == 1
    assert result.stdout == ""
    assert sentence in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_database_that_was_not_migrated_is_told(run: Run, project: Path) -> None:
    (project / "db.sqlite3").touch()

    result = run(project / SCRIPT, FIXTURE, DJANGO_SETTINGS_MODULE="tutorial.settings")

    assert result.returncode == 1
    assert result.stderr.startswith("Error: The database refused (has it been migrated?): no such table")
