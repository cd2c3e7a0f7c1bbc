"""Requests that no client would send: whatever comes, the error is the client's and not the server's."""

import base64
import os
import random
import traceback
from datetime import timedelta
from typing import Any
from urllib.parse import quote_from_bytes

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import Application, DeviceGrant

from .conftest import both_engines_for_real
from .test_oauth import CHALLENGE, REDIRECT_URI, SECRET, VERIFIER

pytestmark = both_engines_for_real
REQUESTS = int(os.environ.get("FUZZING_REQUESTS", "1500"))
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
PATHS = [
    "/",
    "/healthz",
    "/api/hello",
    "/accounts/login/",
    "/authorize/",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/o/authorize/",
    "/o/token/",
    "/o/revoke_token/",
    "/o/introspect/",
    "/o/device-authorization/",
    "/o/device/",
    "/o/device-confirm/an-id/ABCDEFGH",
    "/o/device-grant-status/an-id/ABCDEFGH",
    "/o/applications/",
    "/o/applications/register/",
    "/o/applications/{}/",
    "/o/applications/{}/update/",
    "/o/authorized_tokens/{}/delete/",
    "/o/userinfo/",
    "/o/logout/",
    "/o/register/",
    "/o/.well-known/{}",
    "/admin/oauth2_provider/application/{}/change/",
    "/admin/auth/user/",
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


def quoted(value: bytes) -> bytes:
    return quote_from_bytes(value).encode()


def send(client: Client, chance: random.Random) -> tuple[Any, dict[str, Any]]:
    """Send one request; return the response, and what makes it again."""
    path = chance.choice(PATHS).replace("{}", "%s")
    if "%s" in path:
        path = path.replace("%s", quoted(chance.choice([*CRAFTED, b"1"])).decode())
    what: dict[str, Any] = {"REQUEST_METHOD": chance.choice(METHODS + ["GET", "POST"] * 6)}
    what["QUERY_STRING"] = form(chance).decode("latin-1") if chance.random() < 0.6 else ""
    for name in chance.sample(sorted(HEADERS), chance.choice([0, 0, 1, 2])):
        what[name] = chance.choice(HEADERS[name]).decode("latin-1")
    body = form(chance) if chance.random() < 0.8 else chance.choice(CRAFTED)
    type_ = TYPES[0] if chance.random() < 0.8 else chance.choice(TYPES)
    method = what.pop("REQUEST_METHOD")
    response = client.generic(method, path, body, content_type=type_, **what)
    return response, {"method": method, "path": path, "body": body, "type": type_, **what}


def test_nothing_that_is_sent_is_the_servers_error(engine: str) -> None:
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
            if number % 200 == 0:
                client.force_login(user)
        response, request = send(client, chance)
        if response.status_code >= 500:
            _, error, trace = response.exc_info
            frames = traceback.extract_tb(trace)
            found.setdefault(f"{error!r:.200} in {frames[-1].name}, {frames[-1].filename}", request)

    assert not found, "\n".join(f"{error}: {request}" for error, request in found.items())
