"""What a release loads is compared with the inventory before it serves: real projects, asked by their manage.py."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from project import ROOT

CODE = (ROOT / "roles/django_app/files/check_settings.py").read_text(encoding="utf-8")
RUN_SHELL = (ROOT / "roles/django_app/files/run_shell.py").read_text(encoding="utf-8")
GIVEN = "4Yw0hQ7sVtP1xZr9LkM3nB8cD2fG6jH5aEuTiOoRqWyXbNvC"
# As `django-admin startproject` and cookiecutter-django write them.
STARTPROJECT = 'SECRET_KEY = "django-insecure-3#k0-uj"\nDEBUG = True\nALLOWED_HOSTS = []\n'
COOKIECUTTER = """
import os
DEBUG = os.environ.get("DJANGO_DEBUG", "") == "True"
SECRET_KEY = os.environ.get(
    "DJANGO_SECRET_KEY",
    "Jd8sK2mQ0pLxV5nB7cW3zR9tY6uH1gF4aE",
)
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost").split(",")
"""
# Names that aren't ours.
OTHER_NAMES = """
import os
DEBUG = os.environ.get("DEBUG", "true") == "true"
SECRET_KEY = os.environ.get("SECRET_KEY", "changeme")
ALLOWED_HOSTS = [host for host in os.environ.get("ALLOWED_HOSTS", "").split(",") if host]
"""
FROM_FILE = """
import os
from pathlib import Path
DEBUG = False
SECRET_KEY = Path(os.environ["CREDENTIALS_DIRECTORY"], "SECRET_KEY").read_text().strip()
ALLOWED_HOSTS = ["localhost"]
"""


@dataclass
class Case:
    """A project's settings and what they get."""

    id: str
    code: str
    environment: dict[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("what the inventory gave", FROM_FILE),
    Case(
        "modules that the services import",
        FROM_FILE,
        given={"modules": ["json", "nope.wsgi"]},
        sentences=(
            "nope.wsgi can't be imported (ModuleNotFoundError: No module named 'nope'); set systemd_units_wsgi or",
        ),
    ),
    Case(
        "a Celery app in a module",
        FROM_FILE + "import celery\napp = celery.Celery()\n",
        given={"celery_app": "shop.settings"},
    ),
    Case(
        "a package without a Celery app",
        FROM_FILE,
        given={"celery_app": "shop"},
        sentences=(
            "No Celery app is found by shop (AttributeError: module 'shop' has no attribute 'celery'); set sys",
        ),
    ),
    Case(
        "no module of the Celery app",
        FROM_FILE,
        given={"celery_app": "nope.celery:app"},
        sentences=("No Celery app is found by nope.celery:app (ModuleNotFoundError: No module named 'nope'); set sys",),
    ),
    Case(
        "a check that fails",
        FROM_FILE
        + "from django.core import checks\n@checks.register\ndef check(**_):\n    raise AttributeError('client')\n",
        sentences=("line 11: AttributeError: client); correct what they look at.",),
    ),
    Case(
        "startproject",
        STARTPROJECT,
        sentences=("DEBUG is on", "SECRET_KEY begins with django-insecure-, as a key for development does; let its"),
    ),
    Case(
        "a key of the source as the variable's default",
        COOKIECUTTER,
        sentences=("SECRET_KEY is public, because it is in the source (shop/settings.py); let its settings read ",),
    ),
    Case(
        "names of variables that aren't ours",
        OTHER_NAMES,
        sentences=(
            "while django_app_debug is false; set DEBUG: 'false' in django_app_environment.",
            "set SECRET_KEY: '{{ django_app_secret_key }}' in django_app_credentials.",
        ),
    ),
    Case(
        "no hosts",
        OTHER_NAMES,
        {"DEBUG": "false", "SECRET_KEY": GIVEN},
        ("ALLOWED_HOSTS is empty; set ALLOWED_HOSTS: 'localhost' in django_app_environment.",),
    ),
    Case("all set by their names", OTHER_NAMES, {"DEBUG": "false", "SECRET_KEY": GIVEN, "ALLOWED_HOSTS": "localhost"}),
    Case(
        "other hosts",
        OTHER_NAMES,
        {"DEBUG": "false", "SECRET_KEY": GIVEN, "ALLOWED_HOSTS": "id.example.org"},
        ("ALLOWED_HOSTS has id.example.org and lacks localhost of django_app_allowed_hosts; set ALLOWED_HOSTS: ",),
    ),
    Case(
        "a key from elsewhere",
        OTHER_NAMES,
        {"DEBUG": "false", "SECRET_KEY": GIVEN[::-1], "ALLOWED_HOSTS": "*"},
        ("SECRET_KEY is none of the secrets that the inventory gave, so others may know it; set SECRET_KEY: ",),
    ),
    Case(
        "a public key among the fallbacks",
        FROM_FILE + 'SECRET_KEY_FALLBACKS = ["former-key-of-the-project"]\n',
        sentences=("SECRET_KEY_FALLBACKS[0] is public, because it is in the source (shop/settings.py)",),
    ),
    Case(
        "an error of Django's checks",
        FROM_FILE + 'CSRF_TRUSTED_ORIGINS = ["id.example.org"]\n',
        sentences=("(4_0.E001)",),
    ),
    Case("debug that the inventory wants", FROM_FILE.replace("False", "True"), given={"debug": True}),
]


OVERRIDDEN = {
    "DJANGO_SETTINGS_MODULE": "inventory_settings",
    "PROJECT_SETTINGS_MODULE": "shop.settings",
    "PYTHONPATH": str(ROOT / "roles/django_app/files"),
    "DJANGO_SECRET_KEY": GIVEN,
    "DJANGO_DEBUG": "false",
    "DJANGO_ALLOWED_HOSTS": "localhost",
    "DATABASE_URL": "sqlite://:memory:",
    "CELERY_BROKER_URL": "pyamqp://shop:a-password@127.0.0.1/shop",
}
JWT = "SIMPLE_JWT = {'SIGNING_KEY': SECRET_KEY, 'ALGORITHM': 'HS256'}\n"
CELERY = "from celery import Celery\napp = Celery('shop')\napp.conf.{} = 'redis://localhost'\napp.set_default()\n"
CASES += [
    Case("startproject under the inventory's settings", STARTPROJECT, OVERRIDDEN),
    Case(
        "a copy of a key that was replaced",
        STARTPROJECT + JWT,
        OVERRIDDEN,
        ("The project's own SECRET_KEY, which the inventory replaced, is still in SIMPLE_JWT['SIGNING_KEY']; let its",),
    ),
    Case("a copy of a key that was read", OTHER_NAMES + JWT, OVERRIDDEN),
    Case("another broker", STARTPROJECT + CELERY.format("broker_url"), OVERRIDDEN),
    Case(
        "another broker for what is sent",
        STARTPROJECT + CELERY.format("broker_write_url"),
        OVERRIDDEN,
        ("Celery would talk to localhost, not to the broker of the inventory; remove broker_write_url",),
    ),
]


def ask(case: Case, folder: Path, has_manage: bool = True) -> subprocess.CompletedProcess[str]:
    for name in ("release/shop", "credentials", "state"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "credentials/SECRET_KEY").write_text(GIVEN, encoding="utf-8")
    apps = "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes']\n"
    (folder / "release/shop/settings.py").write_text(apps + case.code, encoding="utf-8")
    (folder / "release/shop/urls.py").write_text("urlpatterns = []\n", encoding="utf-8")
    if has_manage:
        (folder / "release/manage.py").write_text(
            "import sys\nfrom django.core.management import execute_from_command_line as run\nrun(sys.argv)\n",
            encoding="utf-8",
        )
    return subprocess.run(
        [sys.executable, "-c", RUN_SHELL, "shell", "--verbosity=0", "--command", CODE],
        cwd=folder / "release",
        input=json.dumps({"debug": False, "allowed_hosts": ["localhost"]} | case.given),
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "CREDENTIALS_DIRECTORY": str(folder / "credentials"),
            "STATE_DIRECTORY": str(folder / "state"),
            **case.environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_only_what_the_inventory_says_may_serve(case: Case, tmp_path: Path) -> None:
    result = ask(case, tmp_path)
    assert result.returncode == 0, result.stderr
    refused = json.loads(result.stdout)["refused"]
    assert bool(refused) == bool(case.sentences), refused
    for sentence in case.sentences:
        assert sentence in " ".join(refused)
    for secret in (GIVEN, GIVEN[::-1], "Jd8sK2mQ", "3#k0-uj", "former-key"):
        assert secret not in result.stdout + result.stderr


@pytest.mark.parametrize("has_manage", [True, False], ids=["manage.py", "installed as a package"])
def test_a_projects_own_shell_is_not_asked(tmp_path: Path, has_manage: bool) -> None:
    commands = tmp_path / "release/shop/management/commands"
    commands.mkdir(parents=True)
    (commands / "shell.py").write_text("raise SystemExit('Call this command with an --event')\n", encoding="utf-8")
    case = Case("a shell of its own", FROM_FILE + "INSTALLED_APPS += ['shop']\n")
    result = ask(case, tmp_path, has_manage)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads(result.stdout)["refused"] == []


def test_warnings_for_deployments_are_told(tmp_path: Path) -> None:
    result = ask(Case("no middleware for security", FROM_FILE), tmp_path)
    warnings = json.loads(result.stdout)["warnings"]
    assert any(re.search(r"security\.W001", warning) for warning in warnings), warnings
