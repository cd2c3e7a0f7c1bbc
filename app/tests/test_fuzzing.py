"""Requests that no client would send: whatever comes, the error is the client's and not the server's."""

import base64
import os
import random
import re
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from oauth2_provider.models import Application, DeviceGrant

from .conftest import both_engines_for_real
from .test_oauth import CHALLENGE, REDIRECT_URI, SECRET, VERIFIER
from .test_openid import FIRST, Keys, keys

__all__ = ["keys"]  # a fixture
pytestmark = both_engines_for_real
REQUESTS = int(os.environ.get("FUZZING_REQUESTS", "1200"))
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def routes(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    """Every URL of the project, with {} for what is variable in it."""
    for pattern in patterns:
        route = before + re.sub(r"[\^$\\?]", "", re.sub(r"\(\?P<.*?\)|<.*?>", "{}", str(pattern.pattern)))
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


PATHS = [
    *sorted({path for path in routes(get_resolver().url_patterns) if not path.startswith("/admin/")}),
    "/o/device-confirm/an-id/ABCDEFGH",
    "/o/device-grant-status/an-id/ABCDEFGH",
    # The others are Django's own, for its staff.
    "/admin/oauth2_provider/application/{}/change/",
    "/admin/auth/user/",
    "/admin/django_celery_beat/crontabschedule/add/",
    "/admin/django_celery_beat/periodictask/add/",
]
# What each parameter should be, so that requests get past the first check.
PLAUSIBLE: dict[str, list[Any]] = {
    "response_type": ["code", "token", "id_token", "code token"],
    "client_id": ["an-id", "a-device"],
    "client_secret": [SECRET],
    "redirect_uri": [REDIRECT_URI],
    "scope": ["read", "read write", ""],
    "state": ["s"],
    "code_challenge": [CHALLENGE],
    "code_challenge_method": ["S256", "plain"],
    "code_verifier": [VERIFIER],
    "grant_type": ["authorization_code", "client_credentials", "refresh_token", "password", DEVICE],
    "code": ["unknown"],
    "refresh_token": ["unknown"],
    "device_code": ["a-device-code", "unknown"],
    "user_code": ["ABCDEFGH"],
    "token": ["unknown"],
    "token_type_hint": ["access_token", "refresh_token"],
    "username": ["operator"],
    "password": ["correct horse"],
    "prompt": ["none", "login", "create", "consent"],
    "claims": ["{}", "null", "[]", '{"userinfo": 5}'],
    "resource": ["https://api.example/"],
    "nonce": ["n"],
    "ui_locales": ["en de"],
    "max_age": ["0"],
    "allow": ["Authorize"],
    "action": ["accept", "deny"],
    "next": ["/o/authorize/"],
    "access_token": ["unknown"],
    "request": ["e30.e30."],
    "id_token_hint": ["e30.e30."],
    "approval_prompt": ["auto", "force"],
    "name": ["a name"],
    "client_type": ["public", "confidential"],
    "authorization_grant_type": ["authorization-code", "client-credentials"],
    "redirect_uris": [REDIRECT_URI],
    "allowed_origins": ["https://spa.example"],
    "q": ["x"],
    "o": ["1"],
    "p": ["0"],
    "id__exact": ["1"],
}
CRAFTED = [
    b"",
    b" ",
    b"\0",
    b"a\0b",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # half of a surrogate pair
    "ü\N{RIGHT-TO-LEFT OVERRIDE}\N{GRINNING FACE}".encode(),
    b"%",
    b"%zz",
    b"%00",
    b"'\"<>;--",
    b"\r\nX-Injected: 1",
    b"{}",
    b"[]",
    b"../../etc/passwd",
    b"-1",
    b"0",
    b"9" * 30,
    b"9223372036854775808",
    b"1e999",
    b"NaN",
    b"A" * 300,
    b"A" * 5000,
    b"http://[",
    b"http://[::1",
    b"http://a:b/",
    b"http://a:99999999/",
    b"https://client.example/callback#x",
    b"javascript:alert(1)",
    b"client.example/callback",
]
TYPES = [
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "application/x-www-form-urlencoded; charset=nonsense",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/json",
    "text/plain",
    "",
    ";",
]
HEADERS: dict[str, list[bytes]] = {
    "HTTP_AUTHORIZATION": [
        b"Basic",
        b"Basic ",
        b"Basic x",
        b"Basic ====",
        b"Basic " + base64.b64encode(b"no-colon"),
        b"Basic " + base64.b64encode(b"an-id:\xff"),
        b"Basic " + base64.b64encode(b"an-id:\0"),
        b"Basic " + base64.b64encode(b"an\0id:x"),
        b"Basic " + base64.b64encode(b"an%00id:x"),
        b"Basic " + base64.b64encode(b"an%zzid:%"),
        b"Basic " + base64.b64encode(f"an-id:{SECRET}".encode()),
        b"Basic \xff",
        b"Bearer",
        b"Bearer ",
        b"Bearer \xff",
        b"Bearer e30.e30.",
        b"Bearer " + b"a" * 4000,
        b"Digest x",
    ],
    "HTTP_ORIGIN": [b"null", b"https://spa.example", b"\xff", b"http://[", b"x" * 3000, b"%"],
    "HTTP_COOKIE": [b"sessionid=\xff", b"sessionid=" + b"x" * 500, b"csrftoken=;;=", b"messages=x"],
    "HTTP_ACCEPT_LANGUAGE": [b"x" * 1000, b"\xff", b"de;q=NaN"],
    "HTTP_X_FORWARDED_PROTO": [b"https", b"x"],
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": [b"POST", b"\xff"],
    "HTTP_IF_MODIFIED_SINCE": [b"x", b"Mon, 01 Jan 99999 00:00:00 GMT"],
    "HTTP_RANGE": [b"bytes=x"],
}
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "NONSENSE"]


def form(chance: random.Random) -> bytes:
    """Parameters as a form: plausible, crafted, doubled, or without any order."""
    pairs = []
    for name in chance.sample(sorted(PLAUSIBLE), chance.randrange(12)):
        for _ in range(chance.choice([1, 1, 1, 1, 2])):
            value = chance.choice(PLAUSIBLE[name]).encode()
            if chance.random() < chance.choice([0.1, 0.6]):
                value = chance.choice(CRAFTED)
            pairs.append(name.encode() + b"=" + (value if chance.random() < 0.1 else quoted(value)))
    if chance.random() < 0.05:
        pairs.append(quoted(chance.choice(CRAFTED)) + b"=" + quoted(chance.choice(CRAFTED)))
    return b"&".join(pairs)


def fields_of(page: str) -> dict[str, str]:
    """The fields of a page's forms, as they would be sent."""
    tags = re.findall(r"<(?:input|select|textarea|button)\b[^>]*>", page)
    pairs = [(re.search(r'\bname="([^"]*)"', tag), re.search(r'\bvalue="([^"]*)"', tag)) for tag in tags]
    return {name[1]: value[1] if value else "x" for name, value in pairs if name}


def filled(chance: random.Random, fields: dict[str, str]) -> bytes:
    """A page's form with all of its fields, a few of them crafted."""
    crafted = chance.choice([0.02, 0.2, 0.6])
    return b"&".join(
        quoted(name.encode())
        + b"="
        + quoted(chance.choice(CRAFTED) if chance.random() < crafted else value.encode())
        for name, value in fields.items()
    )


def quoted(value: bytes) -> bytes:
    return quote_from_bytes(value).encode()


def send(
    client: Client, chance: random.Random, forms: dict[str, dict[str, str]]
) -> tuple[Any, dict[str, Any]]:
    """Send one request; return the response, and what makes it again. Forms that come are filled later."""
    route = chance.choice(PATHS)
    path = route.replace("{}", quoted(chance.choice([*CRAFTED, b"1"])).decode())
    what: dict[str, Any] = {"REQUEST_METHOD": chance.choice(METHODS + ["GET", "POST"] * 6)}
    what["QUERY_STRING"] = form(chance).decode("latin-1") if chance.random() < 0.6 else ""
    for name in chance.sample(sorted(HEADERS), chance.choice([0, 0, 1, 2])):
        what[name] = chance.choice(HEADERS[name]).decode("latin-1")
    body = form(chance) if chance.random() < 0.8 else chance.choice(CRAFTED)
    if (known := forms.get(route)) and chance.random() < 0.5:
        what["REQUEST_METHOD"], body = "POST", filled(chance, known)
    type_ = TYPES[0] if chance.random() < 0.8 else chance.choice(TYPES)
    method = what.pop("REQUEST_METHOD")
    response = client.generic(method, path, body, content_type=type_, **what)
    if response.get("Content-Type", "").startswith("text/html") and (found := fields_of(response.text)):
        forms[route] = found
    return response, {"method": method, "path": path, "body": body, "type": type_, **what}


@pytest.mark.parametrize("openid", [False, True], ids=["oauth", "openid"])
def test_nothing_that_is_sent_is_the_servers_error(engine: str, openid: bool, keys: Keys) -> None:
    if openid:
        keys(FIRST)
    seed = os.environ.get("FUZZING_SEED") or str(random.SystemRandom().getrandbits(32))
    print(f"FUZZING_SEED={seed}")  # shown if it fails
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    user = User.objects.create_superuser("operator", password="correct horse")
    for client_id, kind in {"an-id": "confidential", "a-device": "public"}.items():
        Application.objects.create(
            client_id=client_id,
            client_secret=SECRET if kind == "confidential" else "",
            client_type=kind,
            authorization_grant_type=DEVICE if client_id == "a-device" else "authorization-code",
            redirect_uris=REDIRECT_URI,
            allowed_origins="https://spa.example",
            user=user,
        )
    found: dict[str, dict[str, Any]] = {}
    forms: dict[str, dict[str, str]] = {}
    for number in range(REQUESTS):
        if number % 100 == 0:
            DeviceGrant.objects.all().delete()
            DeviceGrant.objects.create(
                client_id="an-id",
                device_code="a-device-code",
                user_code="ABCDEFGH",
                user=user,
                expires=timezone.now() + timedelta(hours=1),
            )
            client = Client(raise_request_exception=False)
        # Pages that are asked for end sessions and lock users out.
        if number % 200 < 100 and number % 10 == 0:
            User.objects.update(is_active=True)
            client.force_login(user)
        response, request = send(client, chance, forms)
        if response.status_code >= 500:
            _, error, trace = response.exc_info
            frames = traceback.extract_tb(trace)
            found.setdefault(f"{error!r:.200} in {frames[-1].name}, {frames[-1].filename}", request)

    assert not found, "\n".join(f"{error}: {request}" for error, request in found.items())
