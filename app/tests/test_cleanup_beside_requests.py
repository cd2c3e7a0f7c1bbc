"""Requests beside a clean-up of a backlog: no deadlock, no answer 500, on both engines."""

import hashlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, Grant, IDToken, RefreshToken
from oauth2_provider.settings import oauth2_settings
from pytest_django import Settings as DjangoSettings

from tutorial import cleanup

from .conftest import both_engines_for_real
from .test_oauth import BASIC, CHALLENGE, REDIRECT_URI, SECRET, VERIFIER, authorize

BACKLOG = int(os.environ.get("BACKLOG", "10000"))  # expired access tokens
USERS = 60
LIFE = timedelta(seconds=oauth2_settings.REFRESH_TOKEN_EXPIRE_SECONDS)


def checksum(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def fill(users: list[User], application: Application) -> None:
    """Of each ten access tokens: 4 idle, 1 from a revoked refresh token, 3 with an ID token, 2 dormant."""
    old, day = timezone.now() - LIFE - timedelta(hours=1), timezone.now() - timedelta(days=1)
    ids, access, refresh = [], [], []
    for i in range(BACKLOG):
        owner: dict[str, Any] = {"user": users[i % USERS], "application": application}
        kind = i % 10
        expires = old if kind < 8 else day
        access_token = AccessToken(token="", token_checksum=checksum(f"a{i}"), expires=expires, **owner)
        access.append(access_token)
        if kind in (5, 6, 7, 8):
            ids.append(IDToken(expires=expires, **owner))
            access_token.id_token = ids[-1]
        if kind < 4 or kind > 7:
            token = RefreshToken(token="", token_checksum=checksum(f"r{i}"), **owner)
            token.access_token = access_token
            refresh.append(token)
        elif kind == 4:
            token = RefreshToken(token="", token_checksum=checksum(f"r{i}"), revoked=old, **owner)
            refresh.append(token)
    IDToken.objects.bulk_create(ids, batch_size=1000)
    AccessToken.objects.bulk_create(access, batch_size=1000)
    RefreshToken.objects.bulk_create(refresh, batch_size=1000)
    revoked = list(RefreshToken.objects.exclude(revoked=None).order_by("pk"))
    sources = AccessToken.objects.filter(refresh_token=None, id_token=None).order_by("pk")
    for access_token, token in zip(sources, revoked, strict=True):
        access_token.source_refresh_token = token
    AccessToken.objects.bulk_update(sources, ["source_refresh_token"], batch_size=1000)


class Requests:
    """What clients, users and operators do with tokens that are being deleted, and with others."""

    def __init__(self, user: User, seed: int) -> None:
        self.client = Client(raise_request_exception=False)
        self.user, self.random = user, random.Random(seed)  # noqa: S311  # only what is asked
        self.client.force_login(user)

    def some(self, kinds: str) -> int:
        """Choose a token by the last digits that its number may have."""
        return self.random.randrange(BACKLOG // 10) * 10 + int(self.random.choice(kinds))

    def post(self, path: str, **data: str) -> int:
        return self.client.post(path, data, headers=BASIC).status_code

    def refresh_dormant(self) -> int:
        number = self.some("89")
        while number % USERS < USERS // 2:  # a user who is deleted meanwhile can't get tokens
            number = self.some("89")
        token = f"r{number}"
        return self.post("/o/token/", grant_type="refresh_token", refresh_token=token)

    def refresh_idle_or_revoked(self) -> int:
        token = f"r{self.some('01234')}"
        return self.post("/o/token/", grant_type="refresh_token", refresh_token=token)

    def revoke(self) -> int:
        return self.post("/o/revoke_token/", token=f"{self.random.choice('ar')}{self.some('0123456789')}")

    def authorize(self) -> int:
        answer = authorize(self.client, code_challenge=CHALLENGE, code_challenge_method="S256", scope="read")
        return self.post(
            "/o/token/",
            grant_type="authorization_code",
            code=answer["code"],
            redirect_uri=REDIRECT_URI,
            code_verifier=VERIFIER,
        )


@both_engines_for_real
def test_requests_beside_a_backlog(engine: str, settings: DjangoSettings) -> None:
    settings.LOGGING_CONFIG = None
    admin = User.objects.create_superuser("operator", password="x")
    application = Application.objects.create(
        client_id="an-id",
        client_secret=SECRET,
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris=REDIRECT_URI,
        user=admin,
    )
    users = User.objects.bulk_create(User(username=f"user{i}") for i in range(USERS))
    fill(users, application)
    answers: Counter[tuple[str, int]] = Counter()
    over = threading.Event()

    def ask(number: int) -> None:
        requests = Requests(admin, number)
        kinds: list[Callable[[], int]] = [
            *(requests.refresh_dormant, requests.refresh_idle_or_revoked, requests.revoke, requests.authorize)
        ]
        try:
            while not over.is_set():
                kind = requests.random.choice(kinds)
                answers[kind.__name__, kind()] += 1
        finally:
            connections.close_all()

    def delete_users() -> None:
        try:
            for user in users[: USERS // 2]:
                if over.is_set():
                    break
                user.delete()
                answers["delete user", 200] += 1
        finally:
            connections.close_all()

    begin = time.monotonic()
    with (
        patch.multiple(
            oauth2_settings, CLEAR_EXPIRED_TOKENS_BATCH_SIZE=100, CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL=0.02
        ),
        ThreadPoolExecutor(4) as pool,
    ):
        futures = [pool.submit(ask, number) for number in range(3)] + [pool.submit(delete_users)]
        try:
            cleanup.clear_expired()
        finally:
            over.set()
        for future in futures:
            future.result(timeout=60)
    print(f"{engine}: {BACKLOG} in {time.monotonic() - begin:.1f} s", dict(answers))

    assert {status for _, status in answers} <= {200, 302, 400}
    assert {kind for kind, _ in answers} >= {"refresh_dormant", "revoke", "authorize", "delete user"}
    if engine == "postgresql":
        with connections[engine].cursor() as cursor:
            cursor.execute("SELECT sum(deadlocks) FROM pg_stat_database")
            assert cursor.fetchone()[0] == 0
    cleanup.clear_expired()
    limit = timezone.now() - LIFE
    assert not AccessToken.objects.filter(expires__lte=limit).exists()
    assert not IDToken.objects.filter(expires__lte=limit).exists()
    assert not RefreshToken.objects.filter(revoked__lte=limit).exists()
    assert not Grant.objects.filter(expires__lt=timezone.now()).exists()
