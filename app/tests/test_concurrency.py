"""Requests that come at the same moment, over HTTP and on both engines."""

import base64
import hashlib
import uuid
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connections
from django.utils import timezone
from oauth2_provider.models import (
    AccessToken,
    Application,
    DeviceGrant,
    Grant,
    RefreshToken,
    set_token_value,
)

from tutorial.oauth.device import DEVICE_CODE

from .conftest import both_engines_for_real
from .server import Answer, Server, at_once

pytestmark = both_engines_for_real
PAIRS = 200


@pytest.fixture
def application(engine: str) -> Application:
    user = User.objects.create(username="owner")
    return Application.objects.create(
        client_id="an-id",
        client_secret="",
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris="https://client.example/",
        user=user,
    )


def issue(application: Application) -> dict[str, str]:
    """Store a pair of tokens; return them as the client knows them."""
    pair = {"access_token": uuid.uuid4().hex, "refresh_token": uuid.uuid4().hex}
    common: dict[str, Any] = {"user": application.user, "application": application}
    access = AccessToken(scope="read", expires=timezone.now() + timedelta(hours=1), **common)
    set_token_value(access, pair["access_token"])
    access.save()
    refresh = RefreshToken(access_token=access, token_family=uuid.uuid4(), **common)
    set_token_value(refresh, pair["refresh_token"])
    refresh.save()
    return pair


def refresh(server: Server, token: str, client: str = "an-id") -> Answer:
    data = {"grant_type": "refresh_token", "client_id": client, "refresh_token": token}
    return server.post("/o/token/", data)


def opens(server: Server, pair: dict[str, Any]) -> bool:
    return bool(
        server.ask("GET", "/api/hello", headers={"Authorization": f"Bearer {pair['access_token']}"}).status
        == 200
    )


def told(answer: Answer) -> str:
    return str(answer.status) if answer.status in {200, 500} else str(answer.json()["error"])


def test_one_of_two_refreshes_wins_and_the_family_lives(server: Server, application: Application) -> None:
    outcomes: Counter[str] = Counter()
    for _ in range(PAIRS):
        token = issue(application)["refresh_token"]
        answers = at_once(*[partial(refresh, server, token)] * 2)
        outcomes[" ".join(sorted(map(told, answers)))] += 1
        for answer in answers:
            if answer.status == 200:
                outcomes["alive" if opens(server, answer.json()) else "dead"] += 1

    assert outcomes == {"200 invalid_grant": PAIRS, "alive": PAIRS}


def test_refresh_beside_revocation_leaves_nothing(server: Server, application: Application) -> None:
    for _ in range(PAIRS // 8):
        token = issue(application)["refresh_token"]
        revoke = {"client_id": "an-id", "token": token, "token_type_hint": "refresh_token"}

        refreshed, revoked = at_once(
            partial(refresh, server, token), partial(server.post, "/o/revoke_token/", revoke)
        )

        assert revoked.status == 200
        assert told(refreshed) in {"200", "invalid_grant"}
        assert refreshed.status != 200 or not opens(server, refreshed.json())


def test_token_is_revoked_twice(server: Server, application: Application) -> None:
    for kind in ("access_token", "refresh_token") * (PAIRS // 16):
        data = {"client_id": "an-id", "token": issue(application)[kind]}

        answers = at_once(*[partial(server.post, "/o/revoke_token/", data)] * 2)

        assert [answer.status for answer in answers] == [200, 200]


def test_code_is_exchanged_once(server: Server, application: Application) -> None:
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    for number in range(PAIRS // 8):
        Grant.objects.create(
            user=application.user,
            application=application,
            code=f"code-{number}",
            expires=timezone.now() + timedelta(minutes=1),
            redirect_uri="https://client.example/",
            scope="read",
            code_challenge=challenge,
            code_challenge_method="S256",
        )
        data = {
            "grant_type": "authorization_code",
            "client_id": "an-id",
            "code": f"code-{number}",
            "redirect_uri": "https://client.example/",
            "code_verifier": verifier,
        }

        answers = at_once(*[partial(server.post, "/o/token/", data)] * 2)

        assert sorted(map(told, answers)) == ["200", "invalid_grant"]
    assert AccessToken.objects.count() == RefreshToken.objects.count() == PAIRS // 8


def test_device_code_is_good_once(server: Server, application: Application) -> None:
    Application.objects.update(authorization_grant_type=DEVICE_CODE)
    for number in range(PAIRS // 8):
        DeviceGrant.objects.create(
            user=application.user,
            client_id="an-id",
            device_code=f"device-{number}",
            user_code=f"user-{number}",
            scope="read",
            expires=timezone.now() + timedelta(minutes=1),
            status=DeviceGrant.AUTHORIZED,
        )
        data = {"grant_type": DEVICE_CODE, "client_id": "an-id", "device_code": f"device-{number}"}

        answers = at_once(*[partial(server.post, "/o/token/", data)] * 2)

        assert sorted(map(told, answers)) in (["200", "expired_token"], ["200", "invalid_grant"])
    assert AccessToken.objects.count() == PAIRS // 8


def test_device_code_is_good_for_its_client_only(server: Server, application: Application) -> None:
    Application.objects.update(authorization_grant_type=DEVICE_CODE)
    DeviceGrant.objects.create(
        user=application.user,
        client_id="another",
        device_code="x",
        user_code="x",
        expires=timezone.now() + timedelta(minutes=1),
        status=DeviceGrant.AUTHORIZED,
    )

    stolen = server.post("/o/token/", {"grant_type": DEVICE_CODE, "client_id": "an-id", "device_code": "x"})

    assert told(stolen) == "invalid_grant"


@pytest.mark.parametrize("what", ["user", "application"])
def test_user_or_client_is_deleted_beside_a_refresh(
    server: Server, application: Application, what: str
) -> None:
    for number in range(PAIRS // 8):
        user = User.objects.create(username=f"user-{number}")
        client = Application.objects.create(
            client_id=f"client-{number}",
            client_secret="",
            client_type="public",
            authorization_grant_type="authorization-code",
            user=user,
        )
        token = issue(client)["refresh_token"]

        refreshed, _ = at_once(
            partial(refresh, server, token, client.client_id),
            partial(delete, user if what == "user" else client),
        )

        assert told(refreshed) in {"200", "invalid_grant", "invalid_client"}
    assert not AccessToken.objects.exists()
    assert not RefreshToken.objects.exists()


def delete(row: User | Application) -> None:
    """Delete it with all that refers to it, again if something new did meanwhile."""
    try:
        while row.pk:
            with suppress(IntegrityError):
                row.delete()
    finally:
        connections.close_all()  # this thread's
