"""Print the schedule in the database as one JSON line, as the loader does; run by manage.py shell.

`tasks` are those that the release's Celery application registers, `unknown` the names of enabled ones that it doesn't.
"""

import json

from celery import current_app
from django_celery_beat.models import IntervalSchedule, PeriodicTask

current_app.loader.import_default_modules()
# Field by field: one row that can't be read must not hide the others.
fields = ("name", "task", "enabled", "interval__every", "interval__period", "one_off", "start_time", "expires")
tasks, unknown = [], []
for row in PeriodicTask.objects.order_by("pk").values(*fields):
    if row["task"] not in current_app.tasks:
        unknown += [row["name"]] if row["enabled"] else []
        continue
    seconds = None
    # What has a beginning or an end of its own may not run now.
    if row["interval__every"] and not (row["one_off"] or row["start_time"] or row["expires"]):
        every = IntervalSchedule(every=row["interval__every"], period=row["interval__period"])
        seconds = int(every.schedule.run_every.total_seconds())
    tasks.append({"name": row["name"], "task": row["task"], "enabled": row["enabled"], "interval_seconds": seconds})
print(json.dumps({"changed": False, "tasks": tasks, "unknown": unknown}))
