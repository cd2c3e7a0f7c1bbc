"""Where a project's parts are is found by looking; each project here is laid out as people lay them out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from project import load_plugin

layout: Any = load_plugin("roles/django_app/filter_plugins/layout.py")

CELERY = "from celery import Celery\n\napp = Celery('shop')\n"
WSGI = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}")\napplication = get_wsgi_application()\n'


def manage(settings: str) -> str:
    return f"    os.environ.setdefault('DJANGO_SETTINGS_MODULE', '{settings}')\n"


@dataclass
class Case:
    """A project, and where its parts are."""

    id: str
    files: dict[str, str]
    folder: str = ""
    python_path: tuple[str, ...] = ()
    settings: str = ""
    wsgi: str = ""
    celery: tuple[str, ...] = ()
    lock: str = "requirements.txt"


CASES = [
    Case(
        "startproject",
        {
            "manage.py": manage("shop.settings"),
            "shop/settings.py": "",
            "shop/wsgi.py": WSGI.format("shop.settings"),
            "shop/celery.py": CELERY,
            "shop/__init__.py": "from .celery import app as celery_app\n",
        },
        settings="shop.settings",
        wsgi="shop.wsgi:application",
        celery=("shop",),
    ),
    Case(
        "a folder with a dash, the lock file in it",
        {
            "my-shop/manage.py": manage("core.settings"),
            "my-shop/core/settings.py": "",
            "my-shop/core/wsgi.py": WSGI.format("core.settings"),
            "my-shop/core/celery.py": "celery = Celery(__name__)\n",
            "my-shop/requirements/prod.txt": "",
            "pyproject.toml": "",
            "frontend/package.json": "",
        },
        folder="my-shop",
        settings="core.settings",
        wsgi="core.wsgi:application",
        celery=("core",),
        lock="my-shop/requirements/prod.txt",
    ),
    Case(
        "settings that a variable names, pipenv, a Celery app of a class of its own",
        {
            "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"shop.settings.{ENV}")\n',
            "shop/settings/dev.py": "",
            "shop/settings/prod.py": "",
            "shop/wsgi.py": "application = get_wsgi_application()\n",
            "shop/celery.py": "from celery import Celery\nclass Shop(Celery):\n    pass\napp = Shop('shop')\n",
            "Pipfile.lock": "{}",
        },
        settings="shop.settings.prod",
        wsgi="shop.wsgi:application",
        celery=("shop",),
        lock="Pipfile.lock",
    ),
    Case(
        "settings that a variable may name",
        {
            "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("SETTINGS", "shop.settings"))\n',
            "shop/settings.py": "",
            "shop/wsgi.py": "application = get_wsgi_application()\n",
            "shop/celery.py": CELERY,
        },
        settings="shop.settings",
        wsgi="shop.wsgi:application",
        celery=("shop",),
    ),
    Case(
        "wagtail start",
        {
            "manage.py": manage("mysite.settings.dev"),
            "mysite/settings/dev.py": "",
            "mysite/settings/production.py": "",
            "mysite/wsgi.py": WSGI.format("mysite.settings.dev"),
            "mysite/celery.py": CELERY,
            "uv.lock": "",
        },
        settings="mysite.settings.production",
        wsgi="mysite.wsgi:application",
        celery=("mysite",),
        lock="uv.lock",
    ),
    Case(
        "cookiecutter-django",
        {
            "manage.py": manage("config.settings.local"),
            "config/settings/local.py": "",
            "config/settings/production.py": "",
            "config/wsgi.py": WSGI.format("config.settings.production"),
            "config/celery_app.py": CELERY,
            "config/asgi.py": manage("config.settings.local"),
            "requirements/production.txt": "",
        },
        settings="config.settings.production",
        wsgi="config.wsgi:application",
        celery=("config.celery_app:app",),
        lock="requirements/production.txt",
    ),
    Case(
        "HackSoft's style guide",
        {
            "manage.py": manage("config.django.base"),
            "config/django/base.py": "",
            "config/django/production.py": "",
            "config/wsgi.py": WSGI.format("config.django.production"),
            "styleguide/tasks/celery.py": CELERY,
        },
        settings="config.django.production",
        wsgi="config.wsgi:application",
        celery=("styleguide.tasks.celery:app",),
    ),
    Case(
        "uv in src, with manage.py there",
        {"src/manage.py": manage("config.settings"), "src/config/settings.py": "", "src/config/celery.py": CELERY},
        folder="src",
        settings="config.settings",
        wsgi=layout.DJANGO_WSGI,
        celery=("config",),
    ),
    Case(
        "packages in src, manage.py above",
        {
            "manage.py": manage("shop.settings"),
            "src/shop/settings.py": "",
            "src/shop/jobs.py": "jobs: Celery = Celery()\n",
        },
        python_path=("src",),
        settings="shop.settings",
        wsgi=layout.DJANGO_WSGI,
        celery=("shop.jobs:jobs",),
    ),
    Case(
        "a repository with the project below, and others' manage.py",
        {
            "backend/manage.py": manage("api.settings"),
            "backend/src/api/settings.py": "",
            "backend/src/api/celery.py": CELERY,
            "frontend/node_modules/thing/manage.py": "",
            "backend/tests/project/manage.py": "",
            "poetry.lock": "",
        },
        folder="backend",
        python_path=("backend/src",),
        settings="api.settings",
        wsgi=layout.DJANGO_WSGI,
        celery=("api",),
        lock="poetry.lock",
    ),
    Case(
        "one file",
        {
            "manage.py": manage("settings"),
            "settings.py": "",
            "celery_app.py": CELERY,
            "wsgi.py": WSGI.format("settings"),
        },
        settings="settings",
        wsgi="wsgi:application",
        celery=("celery_app:app",),
    ),
    Case("nothing", {"README.md": ""}, wsgi=layout.DJANGO_WSGI),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_parts_are_found(case: Case, tmp_path: Path) -> None:
    for name, text in case.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    source = str(tmp_path)
    folder = layout.project_folder(source)
    python_path = layout.source_folders(source, folder)
    settings = layout.settings_in(source, folder, python_path)
    assert (folder, tuple(python_path), settings) == (case.folder, case.python_path, case.settings)
    assert layout.wsgi_in(source, folder, python_path, settings) == case.wsgi
    assert tuple(layout.celery_apps(source, folder, python_path, settings)) == case.celery
    assert layout.lock_in(source, case.folder) == case.lock


def test_a_project_that_is_installed_has_what_it_is_called() -> None:
    assert layout.celery_apps("/nonexistent", "", [], "pretalx.settings") == ["pretalx"]
