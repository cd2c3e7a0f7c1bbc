"""Load a fixture of periodic tasks by their names, so that the operator's own edits survive.

Works in any Django project with django_celery_beat, also as a script that isn't part of the project:

    DJANGO_SETTINGS_MODULE=project.settings python .../load_periodic_tasks.py FIXTURE

run in the project's folder. CELERY_APP names the Celery application as in `celery -A`; without it, the
one is used that the project creates while Django starts.
"""

import difflib
import json
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import django
from celery import current_app
from celery.app.utils import find_app
from django.apps import apps
from django.core import serializers
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, router, transaction
from kombu.utils.json import loads

try:
    from supervised import rows as beats_rows
except ImportError:  # run by hand
    beats_rows = None  # type: ignore[assignment]

SCHEDULES = ("interval", "crontab", "solar", "clocked")
# Beat's own records: a fixture has no say about them in a row that exists.
RECORDS = ("last_run_at", "total_run_count", "date_changed")

# An instance of a django_celery_beat model; these have no type hints, and can't be imported before
# Django is set up.
Row = Any


class Task(NamedTuple):
    """A periodic task of the fixture, not saved."""

    row: Row
    fields: set[str]  # those that the fixture names
    kind: str  # one of SCHEDULES
    schedule: Row


class Command(BaseCommand):
    """Create the fixture's periodic tasks that are missing; print one JSON line that says what was done."""

    help = "Load a fixture of periodic tasks by their names, so that the operator's own edits survive."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command line."""
        parser.add_argument("fixture", type=Path, metavar="FIXTURE", help="path of a JSON fixture")
        parser.add_argument("--fixture-wins", action="store_true", help="overwrite what differs from it")
        parser.add_argument("--check", action="store_true", help="change nothing, say what would be done")

    def handle(self, *, fixture: Path, fixture_wins: bool, check: bool, **_: object) -> None:
        """Load the fixture in one transaction.

        Raises:
            CommandError: the fixture or the database cannot be used; nothing was changed.
        """
        if not apps.is_installed("django_celery_beat"):
            raise CommandError("django_celery_beat is not in the project's INSTALLED_APPS.")
        tasks = read(fixture)
        refuse_unregistered(tasks)
        names: dict[str, list[str]] = {"created": [], "updated": [], "kept": []}
        database = router.db_for_write(type(tasks[0].row))
        try:
            with transaction.atomic(using=database):
                for task in tasks:
                    done = store(task, fixture_wins=fixture_wins)
                    names[done].append(task.row.name)
                    if done != "kept":  # an operator's edit is for the operator to correct
                        refuse_skipped(task.row.name)
                rows = [describe(task.row.name) for task in tasks]
                # A rehearsal of the real thing, so that --check can't promise anything else.
                transaction.set_rollback(check, using=database)
        except ValidationError as error:
            raise CommandError(f"A periodic task would become invalid: {' '.join(error.messages)}") from error
        except DatabaseError as error:
            raise CommandError(f"The database refused (has it been migrated?): {error}") from error
        changed = bool(names["created"] or names["updated"])
        self.stdout.write(json.dumps({"changed": changed, **names, "tasks": rows, "unknown": unknown()}))


def read(path: Path) -> list[Task]:
    """Return the periodic tasks in the fixture at `path`.

    Raises:
        CommandError: there is no such file, or it isn't a valid fixture of periodic tasks.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries = json.loads(text)
        rows: list[Row] = [deserialized.object for deserialized in serializers.deserialize("json", text)]
    except OSError as error:
        raise CommandError(f"The fixture {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # also what is not UTF-8
        raise CommandError(f"The fixture {path} is not JSON: {error}.") from error
    except (serializers.base.DeserializationError, TypeError) as error:
        raise CommandError(f"{path} is not a Django fixture: {error}") from error

    tasks = []
    schedules = {}
    for row, entry in zip(rows, entries, strict=True):
        kind = row._meta.model_name.removesuffix("schedule")
        if row._meta.app_label != "django_celery_beat":
            raise CommandError(
                f"{path} is not a fixture of periodic tasks alone: it has also {entry['model']}."
            )
        if kind in SCHEDULES:
            validate(row, f"{kind} {row.pk}")
            schedules[kind, row.pk] = row
        elif kind == "periodictask":
            validate(row, f'periodic task "{row.name}"')
            tasks.append((row, set(entry["fields"])))
    if not tasks:
        raise CommandError(f"The fixture {path} has no periodic task.")
    for name, count in Counter(row.name for row, _ in tasks).items():
        if count > 1:
            raise CommandError(f'The fixture {path} has {count} periodic tasks with the name "{name}".')
    return [Task(row, fields, *schedule_of(row, schedules)) for row, fields in tasks]


def validate(row: Row, what: str) -> None:
    """Raise CommandError if the Admin would refuse a value of `row`, or beat couldn't read it."""
    try:
        row.clean_fields(exclude=SCHEDULES)
        for name, kind in (("args", list), ("kwargs", dict), ("headers", dict)):
            if hasattr(row, name):
                decoded(row, name, kind)
        for name in ("name", "task", "queue", "exchange", "routing_key"):
            if not (getattr(row, name, None) or "").isprintable():
                raise ValueError(f"{name}: has a character that can't be printed.")
        if not hasattr(row, "task"):
            row.schedule.is_due(datetime.now(UTC))
    except ValidationError as error:
        problems = " ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
        raise CommandError(f"The fixture's {what} is not valid: {problems}") from error
    except Exception as error:  # whatever libraries make of a schedule that looked right
        raise CommandError(f"The fixture's {what} is not valid: {error}") from error


def decoded(row: Row, name: str, kind: type) -> Any:  # noqa: ANN401  # any JSON
    """Return what beat reads in a field of JSON; raise ValueError if it isn't of that kind."""
    try:
        value = loads(getattr(row, name) or json.dumps(kind()))
    except Exception as error:  # kombu's own types may be anything
        raise ValueError(f"{name}: not JSON: {error}.") from error
    if not isinstance(value, kind):
        raise ValueError(f"{name}: must be a JSON {'list' if kind is list else 'object'}.")
    return value


def schedule_of(row: Row, schedules: dict[tuple[str, Any], Row]) -> tuple[str, Row]:
    """Return the kind of schedule that the task `row` has in the fixture, and the schedule."""
    keys = [(kind, getattr(row, f"{kind}_id")) for kind in SCHEDULES]
    keys = [(kind, pk) for kind, pk in keys if pk is not None]
    if len(keys) != 1:
        raise CommandError(
            f'The fixture\'s periodic task "{row.name}" needs exactly one of {", ".join(SCHEDULES)}.'
        )
    kind, pk = keys[0]
    if (kind, pk) not in schedules:
        raise CommandError(
            f'The fixture\'s periodic task "{row.name}" refers to {kind} {pk}, which is not in the fixture.'
        )
    return kind, schedules[kind, pk]


def refuse_unregistered(tasks: list[Task]) -> None:
    """Raise CommandError if the Celery application does not know a task, or not with these arguments."""
    try:
        current_app.loader.import_default_modules()
    except Exception as error:  # whatever a project's own code may raise
        raise CommandError(f"The tasks cannot be imported: {type(error).__name__}: {error}") from error
    for task in tasks:
        if task.row.task not in current_app.tasks:
            nearest = difflib.get_close_matches(task.row.task, current_app.tasks, n=1, cutoff=0)[0]
            raise CommandError(
                f'The fixture\'s periodic task "{task.row.name}" calls {task.row.task}, which the Celery '
                f"application {current_app.main} does not register; the nearest it registers is {nearest}."
            )
        registered: Any = current_app.tasks[task.row.task]
        try:
            if registered.typing:
                registered.__header__(*decoded(task.row, "args", list), **decoded(task.row, "kwargs", dict))
        except TypeError as error:
            raise CommandError(
                f"The fixture's periodic task \"{task.row.name}\" can't be called so: {error}."
            ) from error


def store(task: Task, *, fixture_wins: bool) -> str:
    """Bring the task into the database; return `created`, `updated` or `kept`.

    Rows are saved one by one, because only that makes a running beat notice.
    """
    # The model saves an empty text as NULL.
    for name in ("queue", "exchange", "routing_key"):
        setattr(task.row, name, getattr(task.row, name) or None)
    manager = type(task.row)._default_manager
    row = manager.filter(name=task.row.name).first()
    if row is None:
        row, first_run_after = task.row, task.row.date_changed
        row.pk, row.last_run_at, row.total_run_count = None, None, 0
        setattr(row, task.kind, saved(task.schedule))
        row.save()
        if first_run_after:
            # save() puts the present in its place; a fixture's past makes the first run due at once.
            manager.filter(pk=row.pk).update(date_changed=first_run_after)
        return "created"
    if not fixture_wins:
        return "kept"
    wanted = {name: getattr(task.row, name) for name in task.fields.difference(SCHEDULES, RECORDS)}
    changes = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    present = getattr(row, task.kind)
    if present is None or values(present) != values(task.schedule):
        changes |= dict.fromkeys(SCHEDULES) | {task.kind: saved(task.schedule)}
    if not changes:
        return "kept"
    for name, value in changes.items():
        setattr(row, name, value)
    # Only these fields: beat may be writing its records at this moment.
    row.save(update_fields=[*changes, "date_changed"])
    return "updated"


def refuse_skipped(name: str) -> None:
    """Raise CommandError if beat, as the units run it, would skip the row of that name in the database."""
    row: Row = apps.get_model("django_celery_beat", "PeriodicTask")._default_manager.get(name=name)
    if beats_rows and (problem := beats_rows.problem(row)):
        raise CommandError(f"The fixture's periodic task \"{name}\" can't run: {problem}.")


def values(schedule: Row) -> dict[str, Any]:
    """Return what makes two schedules the same, whatever their primary keys."""
    fields = [field for field in schedule._meta.concrete_fields if not field.primary_key]
    return {field.name: getattr(schedule, field.name) for field in fields}


def saved(schedule: Row) -> Row:
    """Return the schedule in the database that equals this one, which is created if missing."""
    row = type(schedule)._default_manager.filter(**values(schedule)).order_by("pk").first()
    if row is None:
        row = schedule
        row.pk = None
        row.save()
    return row


def unknown() -> list[str]:
    """Return the names of the enabled periodic tasks that no worker of this release can run."""
    manager = apps.get_model("django_celery_beat", "PeriodicTask")._default_manager
    rows = manager.filter(enabled=True).order_by("name").values_list("name", "task")
    return [name for name, task in rows if task not in current_app.tasks]


def describe(name: str) -> dict[str, object]:
    """Return the periodic task `name` of the database; its interval in seconds, if it has no end."""
    row: Row = apps.get_model("django_celery_beat", "PeriodicTask")._default_manager.get(name=name)
    # What has a beginning or an end of its own may not run now.
    bounded = row.one_off or row.start_time or row.expires
    seconds = None if bounded else row.interval and row.interval.schedule.run_every.total_seconds()
    return {
        "name": row.name,
        "task": row.task,
        "enabled": row.enabled,
        "interval_seconds": int(seconds) if seconds and seconds.is_integer() else seconds,
    }


def main() -> str | None:
    """Run the command outside `manage.py`; return the error, if any."""
    # As manage.py and `celery` have it: the project is in the working directory.
    sys.path[0] = str(Path.cwd())
    try:
        django.setup()
        if "CELERY_APP" in os.environ:
            find_app(os.environ["CELERY_APP"]).set_default()
    except Exception as error:  # whatever a project's own code may raise
        return f"Error: the Django project cannot be loaded: {type(error).__name__}: {error}"
    try:
        call_command(Command(), *sys.argv[1:])
    except CommandError as error:
        return f"Error: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
