"""What the proof of a deployment learns of a schedule: which task it may wait for, and when the first is due."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from project import ROOT

FILES = ROOT / "roles/periodic_tasks/files"
SETTINGS = """
import os
from pathlib import Path
SECRET_KEY = "x"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("db.sqlite3")}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_beat"]
USE_TZ = os.environ.get("NAIVE") is None
TIME_ZONE = "Asia/Tokyo"
import celeryapp
print("Hello")
"""
CELERY = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from celery import Celery
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
@app.task(name="known")
def known():
    pass
"""
# Rows by name. No time of day is asked, so that the test holds at any.
ROWS = """
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from datetime import UTC, datetime
def cron(*fields):
    return CrontabSchedule.objects.create(**dict(zip(["minute", "hour", "day_of_month", "timezone"], fields)))
every = IntervalSchedule.objects.create(every=2, period="hours")
solar = SolarSchedule.objects.create(event="sunrise", latitude="48", longitude="11")
for name, more in {
    "each minute": {"crontab": cron("*", "*", "*", "Europe/Berlin")},
    "each night": {"crontab": cron("0", "3", "*", "America/New_York")},
    "each month": {"crontab": cron("0", "0", "1", "UTC")},
    "two hours": {"interval": every},
    "once": {"interval": every, "one_off": True},
    "off": {"crontab": cron("1", "*", "*", "UTC"), "enabled": False},
    "unknown": {"interval": every, "task": "gone"},
    "sun": {"solar": solar},
}.items():
    PeriodicTask.objects.create(**({"name": name, "task": "known"} | more))
"""


@pytest.mark.parametrize("environment", [{}, {"NAIVE": "1"}], ids=["UTC", "local times"])
def test_each_row_tells_its_interval_and_when_it_is_due(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "celeryapp.py").write_text(CELERY)
    run_shell = (ROOT / "roles/django_app/files/run_shell.py").read_text(encoding="utf-8")

    def manage(*arguments: str) -> str:
        process = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "settings"}
        result = subprocess.run(
            [sys.executable, "-c", run_shell, *arguments],
            cwd=tmp_path,
            env=process | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    manage("migrate", "--verbosity=0")
    manage("shell", "--verbosity=0", "--command", ROWS)
    read = (FILES / "read_schedule.py").read_text(encoding="utf-8")
    # One line, whatever the project prints.
    told: Any = json.loads(manage("shell", "--verbosity=0", "--command", read))
    assert told["unknown"] == ["unknown"]
    rows = {row["name"]: row for row in told["tasks"]}
    found = {name: row["interval_seconds"] for name, row in rows.items()}
    assert 28 * 86400 <= found.pop("each month") <= 31 * 86400
    # A clock that is set in the night makes a day of 23 or 25 hours.
    assert found.pop("each night") in range(82_800, 90_001)
    assert found.pop("off") == 3600
    assert found == {"each minute": 60, "two hours": 7200, "once": None, "sun": None}
    waits = {name: row["due"] and row["due"] - time.time() for name, row in rows.items()}
    assert waits.pop("once") is None
    assert -10 < waits["each minute"] <= 60
    assert 7100 < waits["two hours"] <= 7200
    assert -10 < waits["each night"] <= 90_000
    assert -10 < waits["each month"] <= 31 * 86400
