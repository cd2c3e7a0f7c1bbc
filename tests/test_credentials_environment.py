"""Secrets reach projects that read NAME, by the process itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT

CODE = "import os, sys, credentials_environment; sys.stdout.write(repr(os.environ.get(sys.argv[1])))"


@pytest.mark.parametrize(
    ("name", "switch", "value"),
    [
        ("KEY", "true", "'from the file'"),
        ("KEY", "false", "'before'"),
        ("EMPTY", "true", "None"),
        ("LINES", "true", r"'a\nb'"),
    ],
)
def test_a_process_finds_its_credentials(name: str, switch: str, value: str, tmp_path: Path) -> None:
    for file, text in {"KEY": "from the file\n", "EMPTY": "", "LINES": "a\nb\n"}.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "CREDENTIALS_IN_ENVIRONMENT": switch, "KEY": "before"}
    result = subprocess.run(
        [sys.executable, "-c", CODE, name],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "roles/django_app/files"), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == value


# What people write in wsgi.py, manage.py or celery.py.
NAMED = """
import os, credentials_environment
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
os.environ.update(DJANGO_SETTINGS_MODULE="shop.settings", OTHER="shop")
os.environ |= {"DJANGO_SETTINGS_MODULE": "shop.settings"}
print(os.environ["DJANGO_SETTINGS_MODULE"], os.environ["OTHER"], os.getenv("DJANGO_SETTINGS_MODULE"))
"""


@pytest.mark.parametrize(
    ("before", "after"), [("inventory_settings", "inventory_settings"), ("tutorial.settings", "shop.settings")]
)
def test_settings_of_the_inventory_stay_whatever_a_project_names(before: str, after: str) -> None:
    environment = {"PYTHONPATH": str(ROOT / "roles/django_app/files"), "DJANGO_SETTINGS_MODULE": before}
    result = subprocess.run([sys.executable, "-c", NAMED], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [after, "shop", after]
