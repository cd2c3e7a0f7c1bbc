"""Audit lines, which tell who did what and never a secret; and the page on which users take consent back."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, RefreshToken

from tutorial.oauth.concurrency import SAME_MOMENT

from .test_oauth import BASIC, SECRET, application, hello, token, tokens

__all__ = ["application", "tokens"]  # fixtures
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    found: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: found.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger("tutorial.audit"), "handlers", [handler])

    def lines() -> list[dict[str, Any]]:
        assert not any("\n" in line for line in found)
        return [json.loads(line) for line in found]

    return lines


def test_accounts(client: Client, user: User, lines: Lines) -> None:
    for name in ("operator", "correct horse"):  # the second is a password in the wrong field
        client.post("/accounts/login/", {"username": name, "password": "wrong secret"})
    client.post("/accounts/login/", {"username": "operator", "password": "correct horse"})
    client.post("/accounts/logout/")

    here = {"address": "127.0.0.1"}
    assert lines() == [
        {"event": "log-in failed", "user": "operator"} | here,
        {"event": "log-in failed"} | here,
        {"event": "log-in", "user": "operator"} | here,
        {"event": "log-out", "user": "operator"} | here,
    ]


def test_tokens(lines: Lines, client: Client, tokens: dict[str, Any]) -> None:
    fresh = token(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    RefreshToken.objects.filter(revoked__isnull=False).update(revoked=timezone.now() - 2 * SAME_MOMENT)
    token(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    client.post("/o/revoke_token/", {"token": fresh["access_token"]}, headers=BASIC)

    found = lines()
    assert [line["event"] for line in found] == [
        "application created",
        "log-in",
        "consent",
        "token issued",
        "token refreshed",
        "refresh token used again",
        "revocation",
    ]
    assert {line["client"] for line in found if line["event"] != "log-in"} == {"an-id"}
    assert found[3] == {
        "event": "token issued",
        "user": "operator",
        "address": "127.0.0.1",
        "client": "an-id",
        "grant": "authorization_code",
        "scope": "read write",
    }
    text = json.dumps(found)
    assert not [
        one for one in (SECRET, *tokens.values(), *fresh.values()) if len(str(one)) > 12 and str(one) in text
    ]


def test_services_have_no_user(client: Client, application: Application, lines: Lines) -> None:
    Application.objects.update(authorization_grant_type="client-credentials")
    token(client, grant_type="client_credentials")

    assert "user" not in lines()[-1]


def test_user_takes_back(
    client: Client, tokens: dict[str, Any], lines: Lines, application: Application
) -> None:
    page = client.get("/accounts/applications/")
    assert "test" in page.text
    AccessToken.objects.update(expires=timezone.now() - timedelta(days=1))  # its refresh token is still good
    assert [one.pk for one in client.get("/accounts/applications/").context["object_list"]] == [
        application.pk
    ]
    AccessToken.objects.update(expires=timezone.now() + timedelta(days=1))

    done = client.post("/accounts/applications/", {"application": application.pk}, follow=True)

    assert "There are none." in done.text
    assert hello(client, tokens["access_token"]).status_code == 401
    again = token(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert again.json()["error"] == "invalid_grant"
    assert "consent taken back" in [line["event"] for line in lines()]


def test_nobody_takes_back_what_is_anothers(
    client: Client, tokens: dict[str, Any], application: Application
) -> None:
    client.force_login(User.objects.create(username="other"))

    assert "There are none." in client.get("/accounts/applications/").text
    for number in (application.pk, "x", "", "9" * 30):
        assert client.post("/accounts/applications/", {"application": number}).status_code == 404
    assert hello(client, tokens["access_token"]).status_code == 200
    assert client.get("/accounts/applications/").status_code == 200
    client.logout()
    assert client.get("/accounts/applications/").status_code == 302
