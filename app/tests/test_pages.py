"""The pages that people and health checks see."""

import re
import shutil
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.test import Client
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from oauth2_provider.models import Application

from .conftest import Run

pytestmark = pytest.mark.django_db


def test_front_page_leads_to_admin_applications_and_api(client: Client) -> None:
    page = client.get("/").text

    for link in ("/admin/", "/admin/django_celery_beat/periodictask/", "/o/applications/", "/api/hello"):
        assert f'href="{link}"' in page


def test_login_form_carries_next(client: Client, user: User) -> None:
    page = client.get("/accounts/login/", {"next": "/o/applications/"})
    assert '<input type="hidden" name="next" value="/o/applications/">' in page.text

    response = client.post(
        "/accounts/login/", {"username": "operator", "password": "correct horse", "next": "/o/applications/"}
    )

    assert response.headers["Location"] == "/o/applications/"


def test_login_ignores_next_to_another_site(client: Client, user: User) -> None:
    data = {"username": "operator", "password": "correct horse", "next": "https://evil.example/"}

    assert client.post("/accounts/login/", data).headers["Location"] == "/"


def test_wrong_password_is_told(client: Client, user: User) -> None:
    response = client.post("/accounts/login/", {"username": "operator", "password": "wrong"})

    assert "The username and/or password you specified are not correct." in response.text


def test_logout_is_on_every_page_and_ends_the_session(client: Client, user: User) -> None:
    client.force_login(user)
    assert 'action="/accounts/logout/"' in client.get("/").text

    client.post("/accounts/logout/")

    assert client.get("/o/applications/").status_code == 302


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "Welcome"),
        ("/accounts/login/", "Log in"),
        ("/o/applications/", "Applications"),
        ("/o/applications/register/", "New application"),
        ("/o/authorized_tokens/", "Authorized tokens"),
    ],
)
def test_each_page_has_a_title(client: Client, user: User, path: str, title: str) -> None:
    client.force_login(user)

    assert f"<title>{title} | Authorization server</title>" in client.get(path).text


def test_pages_of_an_application_have_titles(client: Client, user: User) -> None:
    application = Application.objects.create(
        user=user,
        client_id="an-id",
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris="https://client.example/",
    )
    client.force_login(user)
    query = {"response_type": "code", "client_id": "an-id", "code_challenge": "x" * 43}
    query["code_challenge_method"] = "S256"

    for path, title in {
        f"/o/applications/{application.pk}/": "Application",
        f"/o/applications/{application.pk}/update/": "Edit application",
        "/o/authorize/": "Authorize",
        "/authorize/": "Authorize",
    }.items():
        assert f"<title>{title} | Authorization server</title>" in client.get(path, query).text


def test_admin_has_periodic_tasks(client: Client, user: User) -> None:
    client.force_login(user)

    assert "Periodic tasks" in client.get("/admin/").text
    assert client.get("/admin/django_celery_beat/periodictask/add/").status_code == 200


@pytest.mark.parametrize("page", ["/", "/accounts/login/", "/admin/"])
def test_stylesheets_are_served_by_hand(client: Client, user: User, page: str) -> None:
    client.force_login(user)
    stylesheets = re.findall(r'href="(/static/[^"]+\.css)"', client.get(page).text)

    assert len(stylesheets) >= 2
    for stylesheet in stylesheets:
        with closing(client.get(stylesheet)) as response:
            assert response.status_code == 200


COLLECTED = """
import django; django.setup()
from django.test import Client
from django.templatetags.static import static
browser = Client(headers={"Host": "localhost"})
stylesheet = static("admin/css/base.css")
response = browser.get(stylesheet)
print(stylesheet, response.status_code, response.headers["Cache-Control"])
"""


def test_collected_files_have_hashed_names_and_are_cached_for_long(run: Run) -> None:
    assert run("manage.py", "collectstatic", "--no-input", "-v0").returncode == 0

    result = run("-c", COLLECTED, DJANGO_SETTINGS_MODULE="tutorial.settings")

    stylesheet, status, cache = result.stdout.split(maxsplit=2)
    assert re.fullmatch(r"/static/admin/css/base\.[0-9a-f]{12}\.css", stylesheet)
    assert status == "200"
    assert cache == "max-age=315360000, public, immutable\n"


def test_healthz_is_ok_without_a_login_and_never_cached(client: Client) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.text) == (200, "ok")
    assert "no-store" in response.headers["Cache-Control"]
    head = client.head("/healthz")
    assert (head.status_code, head.content) == (200, b"")
    assert client.post("/healthz").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/accounts/login/",
        "/accounts/2fa/",
        "/accounts/password/change/",
        "/accounts/applications/",
        "/o/applications/register/",
        "/admin/",
        "/admin/django_celery_beat/periodictask/",
        "/admin/django_celery_beat/periodictask/add/",
        "/admin/django_celery_beat/intervalschedule/add/",
        "/admin/oauth2_provider/application/add/",
        "/admin/auth/user/add/",
    ],
)
def test_pages_have_no_scripts_in_them(client: Client, user: User, path: str) -> None:
    """The Content-Security-Policy of the proxy forbids them."""
    client.force_login(user)
    page = client.get(path)
    assert page.status_code == 200
    scripts = re.findall(r"<script\b([^>]*)>", page.text)
    assert [found for found in scripts if "src=" not in found and "application/json" not in found] == []
    assert re.findall(r"<[^>]+ (?:on[a-z]+|style)=", page.text) == []


def test_browsers_find_an_icon(client: Client) -> None:
    """Also on pages that name none, such as the Admin's; else their console has an error."""
    with closing(client.get("/favicon.ico", follow=True)) as response:
        assert (response.status_code, response.headers["Content-Type"]) == (200, "image/svg+xml")


def test_unknown_host_is_refused(client: Client) -> None:
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400


SETTINGS = {"DJANGO_SETTINGS_MODULE": "tutorial.settings"}
HEALTH = """
import django; django.setup()
from django.test import Client
response = Client(headers={"Host": "localhost"}).get("/healthz")
print(response.status_code, response.text)
"""


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/db.sqlite3", "sqlite:///manage.py", "postgres://u:hidden@127.0.0.1:1/x"]
)
def test_healthz_is_503_and_tells_nothing_when_the_database_fails(run: Run, project: Path, url: str) -> None:
    result = run("-c", HEALTH, **SETTINGS, DATABASE_URL=url)

    assert result.stdout == "503 database unavailable\n"
    assert "The database does not answer" in result.stderr
    assert "hidden" not in result.stderr


def test_healthz_is_503_and_makes_nothing_when_the_file_is_gone(
    run: Run, project: Path, migrated: Path
) -> None:
    shutil.copy(migrated, project / "db.sqlite3")
    assert run("-c", HEALTH, **SETTINGS).stdout == "200 ok\n"
    before = set(project.iterdir())
    (project / "db.sqlite3").unlink()

    for command in ("showmigrations", "clearsessions", "cleartokens"):
        assert "There is no file" in run("manage.py", command).stderr
    for _ in range(2):
        assert run("-c", HEALTH, **SETTINGS).stdout == "503 database unavailable\n"

    assert set(project.iterdir()) == before - {project / "db.sqlite3"}


def test_healthz_is_503_with_an_empty_database(run: Run, project: Path) -> None:
    (project / "db.sqlite3").touch()

    assert run("-c", HEALTH, **SETTINGS).stdout == "503 database unavailable\n"


def test_only_a_real_migrate_makes_the_file(run: Run, project: Path) -> None:
    assert "Create model Application" in run("manage.py", "migrate", "--plan").stdout
    assert run("manage.py", "migrate", "--check").returncode == 1
    assert not (project / "db.sqlite3").exists()

    assert run("manage.py", "migrate", "-v0").returncode == 0

    assert run("manage.py", "migrate", "--check").returncode == 0


@pytest.mark.parametrize("name", ["a b?c#d%25.sqlite3", "file.sqlite3"])
def test_file_may_have_any_name(run: Run, tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{quote(str(tmp_path / name))}"

    # Of one app, since all take seconds.
    assert run("manage.py", "migrate", "contenttypes", "-v0", DATABASE_URL=url).returncode == 0
    assert run("-c", HEALTH, **SETTINGS, DATABASE_URL=url).stdout == "200 ok\n"
    assert (tmp_path / name).stat().st_size > 0


def test_admin_tells_that_the_broker_is_away(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by Django's settings, which Celery may read once and keep.
    monkeypatch.setattr(current_app.conf, "broker_url", "amqp://127.0.0.1:1//")
    monkeypatch.setattr(current_app, "_pool", None)
    monkeypatch.setattr(current_app.amqp, "_producer_pool", None)
    schedule = IntervalSchedule.objects.create(every=1, period="days")
    task = PeriodicTask.objects.create(name="a task", task="tutorial.tasks.clear_tokens", interval=schedule)
    client.force_login(user)
    data = {"action": "run_tasks", "_selected_action": [task.pk]}

    page = client.post("/admin/django_celery_beat/periodictask/", data, follow=True)

    assert page.status_code == 200
    assert "The broker can&#x27;t be reached, nothing was run" in page.text


@pytest.mark.parametrize(
    "fields",
    [{"args": "[1"}, {"args": '"abc"'}, {"args": "[" * 100_000}, {"kwargs": "[1]"}, {"kwargs": '{"a": 1}'}],
)
def test_admin_tells_what_is_wrong_with_a_row(client: Client, user: User, fields: dict[str, str]) -> None:
    schedule = IntervalSchedule.objects.create(every=1, period="days")
    made = PeriodicTask(name="a task", task="tutorial.tasks.clear_tokens", interval=schedule, **fields)
    PeriodicTask.objects.bulk_create([made])
    client.force_login(user)
    data = {"action": "run_tasks", "_selected_action": [PeriodicTask.objects.get().pk]}

    page = client.post("/admin/django_celery_beat/periodictask/", data, follow=True)

    assert page.status_code == 200
    assert "A task can&#x27;t be run with the arguments of its row: " in page.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("minute", "5,"),
        ("hour", "*/"),
        ("day_of_month", "-5"),
        ("month_of_year", "-"),
        ("day_of_week", "7"),
        ("day_of_week", "0-7"),
        ("minute", "61"),
        ("hour", "noon"),
    ],
)
def test_admin_refuses_a_crontab_that_celery_cannot_read(
    client: Client, user: User, field: str, value: str
) -> None:
    client.force_login(user)
    names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    data = dict.fromkeys(names, "*") | {"timezone": "UTC", field: value}
    data |= {f"periodictask_set-{count}_FORMS": "0" for count in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}

    page = client.post("/admin/django_celery_beat/crontabschedule/add/", data)

    assert page.status_code == 200
    assert "Please correct the error" in page.text
    assert not CrontabSchedule.objects.exists()
    # One that came by another way can be seen, and corrected.
    made = CrontabSchedule.objects.create(**{field: value})
    assert client.get("/admin/django_celery_beat/crontabschedule/").status_code == 200
    good = data | {field: "1"}
    client.post(f"/admin/django_celery_beat/crontabschedule/{made.pk}/change/", good)
    assert getattr(CrontabSchedule.objects.get(), field) == "1"
