"""Print the schedule in the database as one JSON line; run by manage.py shell.

`tasks` are those that the release's Celery application registers, `unknown` the names of enabled ones that it doesn't.
"""

import json

from celery import current_app
from django_celery_beat.models import PeriodicTask

current_app.loader.import_default_modules()
rows = list(PeriodicTask.objects.select_related("interval"))
known = [row for row in rows if row.task in current_app.tasks]
tasks = [
    {
        "name": row.name,
        "task": row.task,
        "enabled": row.enabled,
        "interval_seconds": row.interval and int(row.interval.schedule.run_every.total_seconds()),
    }
    for row in known
]
unknown = [row.name for row in rows if row.enabled and row not in known]
print(json.dumps({"changed": False, "tasks": tasks, "unknown": unknown}))
