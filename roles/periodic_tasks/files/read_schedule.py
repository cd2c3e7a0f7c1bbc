"""Print the schedule in the database as one JSON line, as the loader does; run by manage.py shell.

`tasks` are those that the release's Celery application registers, `unknown` the names of enabled ones that it doesn't.
Each task has `interval_seconds`, the longest that one may have to wait for a run from now on, and `due`, the moment of
its next run (seconds since 1970): both nothing where that can't be said.
"""

import json
import time
from datetime import UTC
from itertools import pairwise

from celery import current_app
from celery.schedules import crontab
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask


def seconds_between(row):
    """Return the interval in seconds; of a crontab the longer one of the next two."""
    schedule = row.schedule
    if not isinstance(schedule, crontab):
        return getattr(schedule, "run_every", None) and schedule.run_every.total_seconds()
    moments = [schedule.now()]
    for _ in range(2):
        last, wait, _ = schedule.remaining_delta(moments[-1])
        moments.append(last + wait)
    return max((after - before).total_seconds() for before, after in pairwise(moments))


def due(row):
    """Return the moment of the next run."""
    last = row.last_run_at or row.date_changed
    if timezone.is_naive(last):
        # With USE_TZ = False beat writes in UTC, and Django in local time.
        last = timezone.make_aware(last, UTC if row.last_run_at else None)
    is_due, wait = row.schedule.is_due(last)
    return time.time() + (0 if is_due else wait)


current_app.loader.import_default_modules()
# Field by field: one row that can't be read must not hide the others.
fields = ("pk", "name", "task", "enabled", "interval__every", "interval__period", "one_off", "start_time", "expires")
tasks, unknown = [], []
for row in PeriodicTask.objects.order_by("pk").values(*fields):
    if row["task"] not in current_app.tasks:
        unknown += [row["name"]] if row["enabled"] else []
        continue
    described = {
        "name": row["name"],
        "task": row["task"],
        "enabled": row["enabled"],
        "interval_seconds": None,
        "due": None,
    }
    # What has a beginning or an end of its own may not run now.
    if not (row["one_off"] or row["start_time"] or row["expires"]):
        if row["interval__every"]:
            every = IntervalSchedule(every=row["interval__every"], period=row["interval__period"])
            described["interval_seconds"] = int(every.schedule.run_every.total_seconds())
        try:
            model = PeriodicTask.objects.get(pk=row["pk"])
            described["interval_seconds"] = described["interval_seconds"] or int(seconds_between(model) or 0) or None
            described["due"] = due(model)
        except Exception:  # noqa: S110  # whatever libraries make of a row; beat tells of it
            pass
    tasks.append(described)
print(json.dumps({"changed": False, "tasks": tasks, "unknown": unknown}))
