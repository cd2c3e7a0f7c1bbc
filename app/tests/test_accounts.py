"""Log-in with its limits, passwords by mail, second factors; and the command for who is locked out."""

import base64
import hmac
import re
import shutil
import socket
import time
from collections.abc import Iterator
from email import message_from_bytes
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Handler
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks as Capture
from pytest_django import Settings

from .conftest import Run, both_engines_for_real
from .server import Server
from .test_audit import Lines, lines

__all__ = ["lines"]  # a fixture
pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"
RIGHT = {"username": "operator", "password": "correct horse"}
WRONG = RIGHT | {"password": "wrong horse"}
NEW = {"password1": "a newer horse", "password2": "a newer horse"}


class Box(Handler):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []

    def handle_message(self, message: object) -> None:
        found = message_from_bytes(bytes(message))  # type: ignore[call-overload]  # a message has its bytes
        self.got.append(f"{found['To']}\n{found['Subject']}\n{found.get_payload()}")


@pytest.fixture
def box(settings: Settings) -> Iterator[Box]:
    """Run a mail server that the site uses."""
    box = Box()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    yield box
    controller.stop()


def code(secret: str) -> str:
    """Return what a phone shows (RFC 6238)."""
    moment = int(time.time() // 30).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(secret), moment, "sha1")
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def enrol(client: Client) -> str:
    """Give the user who is logged in a second factor; return its secret."""
    again = client.get("/accounts/2fa/totp/activate/")
    page = client.post(where(again), {"password": "correct horse"}, follow=True)
    secret: str = page.context["form"].secret
    assert client.post("/accounts/2fa/totp/activate/", {"code": code(secret)}).status_code == 302
    return secret


def where(response: Any) -> str:  # noqa: ANN401  # the type of answers to the test client is private
    location: str = response.headers.get("Location", "")
    return location


def test_five_wrong_passwords_lock_a_user_until_the_command_lets_in(
    client: Client, user: User, lines: Lines
) -> None:
    for _ in range(5):
        assert "not correct" in client.post(LOGIN, WRONG).text
    assert "Too many failed login attempts" in client.post(LOGIN, RIGHT).text
    assert lines()[-1] == {"event": "log-in locked", "user": "operator", "address": "127.0.0.1"}

    call_command("let_in", "operator", stdout=StringIO())

    assert where(client.post(LOGIN, RIGHT)) == "/"


def test_the_command_gives_a_page_for_a_new_password_once(client: Client, user: User) -> None:
    printed = StringIO()
    call_command("let_in", "operator", stdout=printed)
    path = printed.getvalue().splitlines()[-1]

    page = client.get(path, follow=True)
    done = client.post(page.request["PATH_INFO"], NEW)

    assert where(done) == "/accounts/password/reset/key/done/"
    assert where(client.post(LOGIN, RIGHT | {"password": "a newer horse"})) == "/"
    assert "Bad Token" in client.get(path, follow=True).text


def test_the_command_refuses_whom_it_cant_help(user: User) -> None:
    with pytest.raises(CommandError, match="There is no user nobody"):
        call_command("let_in", "nobody")
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="operator isn't active"):
        call_command("let_in", "operator")


def test_addresses_have_limits_of_their_own(client: Client, user: User) -> None:
    for number in range(10):
        client.post(LOGIN, WRONG | {"username": f"user{number}"}, REMOTE_ADDR="192.0.2.7")
    assert "Too many failed" in client.post(LOGIN, RIGHT, REMOTE_ADDR="192.0.2.7").text
    assert where(client.post(LOGIN, RIGHT, REMOTE_ADDR="192.0.2.8")) == "/"


def test_migrate_makes_the_table_of_attempts(run: Run, project: Path, migrated: Path) -> None:
    shutil.copy(migrated, project / "db.sqlite3")
    code = "from django.core.cache import cache; cache.set('a', 'b'); print(cache.get('a'))"
    assert run("manage.py", "shell", "--verbosity=0", "--command", code).stdout == "b\n"


def test_a_client_without_an_address_logs_in(client: Client, user: User) -> None:
    """As through a Unix socket."""
    assert where(client.post(LOGIN, RIGHT, REMOTE_ADDR="")) == "/"


@both_engines_for_real
def test_limits_hold_across_processes(server: Server) -> None:
    """The server has two."""
    User.objects.create_user("somebody", password="correct horse")
    page = server.ask("GET", LOGIN)
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page.body)
    assert token
    form = {"username": "somebody", "csrfmiddlewaretoken": token[1].decode()}

    def attempt(password: str) -> bytes:
        return server.post(LOGIN, form | {"password": password}, {"Cookie": cookie}).body

    assert [b"not correct" in attempt("wrong horse") for _ in range(5)] == [True] * 5
    assert b"Too many failed login attempts" in attempt("correct horse")


def test_nobody_signs_up(client: Client) -> None:
    form = NEW | {"username": "new", "email": "new@example.org"}
    client.post("/accounts/signup/", form)

    assert not User.objects.exists()
    assert "/signup/" not in client.get(LOGIN).text


def test_a_password_is_changed(client: Client, user: User, lines: Lines) -> None:
    client.post(LOGIN, RIGHT)
    client.post("/accounts/password/change/", NEW | {"oldpassword": "correct horse"})

    client.logout()
    assert where(client.post(LOGIN, RIGHT | {"password": "a newer horse"})) == "/"
    assert "password changed" in [line["event"] for line in lines()]


def test_a_forgotten_password_is_reset_by_mail(client: Client, user: User, box: Box, lines: Lines) -> None:
    User.objects.update(email="operator@example.org")
    assert where(client.post("/accounts/password/reset/", {"email": "operator@example.org"}))

    [message] = box.got
    assert message.startswith("operator@example.org\n")
    path = re.search(r"http://testserver(/\S+)", message)
    assert path
    page = client.get(path[1], follow=True)
    client.post(page.request["PATH_INFO"], NEW)
    assert where(client.post(LOGIN, RIGHT | {"password": "a newer horse"})) == "/"
    assert "password reset" in [line["event"] for line in lines()]
    assert path[1] not in str(lines())


def test_a_mail_server_that_is_away_tells_nothing_of_users(
    client: Client, user: User, box: Box, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.update(email="operator@example.org")
    settings.EMAIL_PORT = 1
    assert where(client.post("/accounts/password/reset/", {"email": "operator@example.org"}))
    assert "A message can't be sent" in caplog.text


def test_without_mail_the_page_says_so(client: Client, user: User) -> None:
    for response in (
        client.get("/accounts/password/reset/"),
        client.post("/accounts/password/reset/", {"email": "operator@example.org"}),
    ):
        assert "can't send mail. Ask an administrator" in response.text


def test_a_second_factor_is_asked_for_and_recovery_codes_replace_it_once(
    client: Client, user: User, lines: Lines, django_capture_on_commit_callbacks: Capture
) -> None:
    client.post(LOGIN, RIGHT)
    with django_capture_on_commit_callbacks(execute=True):
        secret = enrol(client)
    recovery = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()[0]
    client.logout()

    assert where(client.post(LOGIN, RIGHT | {"next": "/o/applications/"})).startswith("/accounts/2fa/authent")
    assert client.get("/o/applications/").status_code == 302, "the password alone is not enough"
    assert client.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert where(client.post("/accounts/2fa/authenticate/", {"code": recovery})) == "/o/applications/"
    client.logout()
    client.post(LOGIN, RIGHT)
    assert client.post("/accounts/2fa/authenticate/", {"code": recovery}).status_code == 200
    assert secret not in str(lines())
    assert recovery not in str(lines())
    assert {"second factor added", "second factor failed"} <= {line["event"] for line in lines()}

    client.logout()
    call_command("let_in", "operator", "--drop-second-factor", stdout=StringIO())
    assert where(client.post(LOGIN, RIGHT)) == "/"


def test_staff_must_have_a_second_factor_where_it_is_asked_for(
    client: Client, user: User, settings: Settings
) -> None:
    settings.SECOND_FACTOR_FOR_STAFF = True
    client.post(LOGIN, RIGHT)

    assert where(client.get("/admin/")) == "/accounts/2fa/totp/activate/"
    assert where(client.post("/o/applications/register/")) == "/accounts/2fa/totp/activate/"
    enrol(client)
    assert client.get("/admin/").status_code == 200

    somebody = User.objects.create_user("somebody")
    client.force_login(somebody)
    assert client.get("/o/applications/").status_code == 200


def test_the_admins_log_in_is_the_sites(client: Client, user: User) -> None:
    page = client.get("/admin/", follow=True)
    assert page.request["PATH_INFO"] == LOGIN
    assert where(client.post(LOGIN, RIGHT | {"next": page.context["redirect_field_value"]})) == "/admin/"
    client.force_login(User.objects.create_user("somebody"))
    assert client.get("/admin/", follow=True).status_code == 403


def test_sessions_of_before_go_on(client: Client, user: User) -> None:
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("path", ["password/change/", "2fa/", "email/", "reauthenticate/", "logout/"])
def test_pages_of_accounts_are_the_sites(client: Client, user: User, path: str) -> None:
    client.post(LOGIN, RIGHT)
    page = client.get(f"/accounts/{path}")
    assert page.status_code == 200
    assert re.search(r"<title>\s*\S.*\| Authorization server</title>", page.text, re.DOTALL)
    assert "What acts for you" in page.text
