"""The guide to a chore of one's own works when it is followed."""

import json
import re
import shutil
import textwrap
from pathlib import Path

from .conftest import APP, Run

GUIDE = APP.parent / "docs" / "chores.md"
SEED = """
from datetime import timedelta
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.utils import timezone
user = User.objects.create(username="someone")
for name, days in {"old": 731, "new": 1}.items():
    entry = LogEntry.objects.create(user=user, object_repr=name, action_flag=ADDITION)
    LogEntry.objects.filter(pk=entry.pk).update(action_time=timezone.now() - timedelta(days=days))
"""
LEFT = """
from django.contrib.admin.models import LogEntry
print(*LogEntry.objects.values_list("object_repr", flat=True))
"""


def block(language: str) -> str:
    """Return the guide's only block of code in that language."""
    (code,) = re.findall(rf"^ *```{language}\n(.*?)^ *```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return textwrap.dedent(code)


def test_guide_to_a_chore_of_ones_own(run: Run, project: Path, migrated: Path) -> None:
    def manage(*arguments: str) -> str:
        result = run("manage.py", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    fixture = project / "tutorial" / "fixtures" / "periodic_tasks.json"
    with (project / "tutorial" / "tasks.py").open("a") as tasks:
        tasks.write(f"\n\n{block('python')}")
    fixture.write_text(json.dumps([*json.loads(fixture.read_text()), json.loads(block("json"))]))
    shutil.copy(migrated, project / "db.sqlite3")

    loaded = json.loads(manage("load_periodic_tasks", str(fixture)))
    assert loaded["tasks"][-1] == {
        "name": "clear old Admin log entries",
        "task": "tutorial.tasks.clear_admin_log",
        "enabled": True,
        "interval_seconds": 86_400,
    }
    manage("shell", "--verbosity=0", "--command", SEED)
    (by_hand,) = re.findall(r"`python manage.py shell --command \"(.*?)\"`", GUIDE.read_text(), re.DOTALL)
    manage("shell", "--verbosity=0", "--command", by_hand)
    assert manage("shell", "--verbosity=0", "--command", LEFT) == "new\n"
