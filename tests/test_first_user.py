"""The first administrator of any user model is created, or the reason is told before the database is migrated."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from project import ROOT

FILES = ROOT / "roles/django_app/files"
PASSWORD = "a password of the inventory"
SETTINGS = """
SECRET_KEY = "Zq7mW3xK9vB2nL5jH8gF4dS6aP1oI0uY-of-the-inventory"
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "shop"]
AUTH_USER_MODEL = "{model}"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
# As Django's "A full example" of a custom user model has it.
FULL_EXAMPLE = """
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models

class MyUserManager(BaseUserManager):
    def create_superuser(self, email, date_of_birth, password=None):
        if not email:
            raise ValueError("Users must have an email address")
        user = self.model(email=self.normalize_email(email), date_of_birth=date_of_birth, is_admin=True)
        user.set_password(password)
        user.save(using=self._db)
        return user

class User(AbstractBaseUser):
    email = models.EmailField(max_length=255, unique=True)
    date_of_birth = models.DateField()
    is_active = models.BooleanField(default=True)
    is_admin = models.BooleanField(default=False)
    objects = MyUserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["date_of_birth"]
"""
# As most projects with a mail login write it, and wagtail's and cookiecutter-django's.
BY_MAIL = """
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models

class Manager(UserManager):
    def create_superuser(self, email, password=None, **extra_fields):
        extra_fields |= {"is_staff": True, "is_superuser": True}
        user = self.model(email=email, **extra_fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

class User(AbstractUser):
    username = None
    email = models.EmailField("email address", unique=True)
    objects = Manager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
"""
NO_MANAGER = FULL_EXAMPLE.replace("objects = MyUserManager()", "objects = models.Manager()")
RELATION = (
    BY_MAIL.replace("class User(", "class Team(models.Model):\n    name = models.TextField()\n\nclass User(")
    .replace("objects = Manager()", "team = models.ForeignKey(Team, on_delete=models.PROTECT)\n    objects = Manager()")
    .replace("REQUIRED_FIELDS = []", 'REQUIRED_FIELDS = ["team"]')
)
BIRTH = {"date_of_birth": "1970-01-01"}

MAKE_MIGRATIONS = """
from django.core.management import call_command
call_command("makemigrations", "shop", verbosity=0)
"""
LOOK = """
from django.contrib.auth import authenticate
User = get_user_model()
user = authenticate(**{User.USERNAME_FIELD: given["user"], "password": given["password"]})
print(json.dumps([User._default_manager.count(), user is not None, str(getattr(user, "email", ""))]))
"""


@dataclass
class Case:
    """A user model, what the inventory says, and what is refused."""

    id: str
    models: str = ""
    user: str = "ann@example.org"
    email: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""


CASES = [
    Case("Django's own", user="admin", email="ann@example.org"),
    Case("login by mail, mail given twice", BY_MAIL, email="ann@example.org"),
    Case("Django's full example", FULL_EXAMPLE, fields=BIRTH),
    Case(
        "login by mail, user without one",
        BY_MAIL,
        user="admin",
        sentence="django_app_admin_user doesn't fit the field email of users (shop.User): Enter a valid email address; "
        'correct it, or set django_app_admin_user: "" to have none created.',
    ),
    Case(
        "a field that nobody set",
        FULL_EXAMPLE,
        sentence="Users (shop.User) need date_of_birth; set that in django_app_admin_fields, or django_app_admin_",
    ),
    Case(
        "a date that is none",
        FULL_EXAMPLE,
        fields={"date_of_birth": "yesterday"},
        sentence="django_app_admin_fields doesn't fit the field date_of_birth of users (shop.User): ",
    ),
    Case(
        "no such field", BY_MAIL, fields={"age": 3}, sentence="doesn't fit the field age of users (shop.User): there is"
    ),
    Case(
        "a manager that makes none", NO_MANAGER, fields=BIRTH, sentence="has no create_superuser(); set django_app_adm"
    ),
    Case(
        "a field that is a row", RELATION, fields={"team": 1}, sentence="refer to another row by team, which the play"
    ),
    Case("nobody", FULL_EXAMPLE, user=""),
]


def shell(folder: Path, code: str, given: object) -> Any:
    result = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity=0", "--command", code],
        cwd=folder,
        input=json.dumps(given),
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "shop.settings", "STATE_DIRECTORY": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert PASSWORD not in result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_is_created_or_refused_before_anything_changes(case: Case, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    settings = SETTINGS.format(model="shop.User" if case.models else "auth.User")
    (tmp_path / "shop/settings.py").write_text(settings, encoding="utf-8")
    (tmp_path / "shop/urls.py").write_text("urlpatterns = []\n", encoding="utf-8")
    (tmp_path / "shop/models.py").write_text(case.models, encoding="utf-8")
    (tmp_path / "manage.py").write_text(
        "import sys\nfrom django.core.management import execute_from_command_line as run\nrun(sys.argv)\n",
        encoding="utf-8",
    )
    admin = {"user": case.user, "email": case.email, "fields": case.fields}
    given = {"debug": False, "allowed_hosts": ["localhost"], "admin": admin}
    refused = shell(tmp_path, (FILES / "check_settings.py").read_text(encoding="utf-8"), given)["refused"]
    refused = [sentence for sentence in refused if "SECRET_KEY" not in sentence]
    assert not (tmp_path / "db.sqlite3").exists()
    if case.sentence:
        assert len(refused) == 1
        assert case.sentence in refused[0]
        return
    assert refused == []

    given = admin | {"check": False, "plan": False, "password": PASSWORD, "new_password": False}
    code = MAKE_MIGRATIONS + (FILES / "prepare_database.py").read_text(encoding="utf-8") + LOOK
    count, may, email = shell(tmp_path, code, given)
    assert (count, may) == ((1, True) if case.user else (0, False))
    assert email == (case.email or (case.user if case.models else ""))
