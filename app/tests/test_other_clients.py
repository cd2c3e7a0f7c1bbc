"""What clients of all kinds send, in the words of their libraries: each gets what the standards promise."""

import json
from base64 import b64encode
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application

from .test_device import DEVICE, begin
from .test_oauth import CHALLENGE, REDIRECT_URI, SECRET, application, token
from .test_openid import PREFIXES, discover, keys, log_in, relying_party

__all__ = ["application", "keys", "relying_party"]  # fixtures
QUERY = {"response_type": "code", "client_id": "an-id", "redirect_uri": REDIRECT_URI, "state": "s"}
QUERY |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "scope": "openid email"}
FORM = "application/x-www-form-urlencoded"
HARD = "+plus/slash=%41%zz &:\N{LATIN SMALL LETTER U WITH DIAERESIS}"


@pytest.fixture(autouse=True)
def openid(relying_party: Application) -> None:
    """Switch it on."""


def asked(client: Client, endpoint: str = "/o/authorize/", **more: Any) -> dict[str, str]:  # noqa: ANN401
    """Return with which parameters the client gets its user back; nothing if the user is shown a page."""
    page = client.get(endpoint, QUERY | more)
    if page.status_code == 200:
        return {}
    url = urlsplit(page.headers["Location"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == REDIRECT_URI
    return {name: values[0] for name, values in parse_qs(url.query).items()}


@pytest.mark.parametrize("scope", ["openid email", "read"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_silent_request(
    client: Client, user: User, application: Application, scope: str, prefix: str
) -> None:
    """As scripts renew tokens in a hidden frame."""
    endpoint = f"{prefix}/authorize/"
    refused = {"state": "s", "iss": f"http://testserver{prefix}"}
    silent = {"endpoint": endpoint, "prompt": "none", "scope": scope}

    assert asked(client, **silent) == refused | {"error": "login_required"}
    client.force_login(user)
    assert asked(client, **silent) == refused | {"error": "consent_required"}
    log_in(client, user, prefix, scope=scope)
    assert "code" in asked(client, **silent)
    assert asked(client, **silent | {"scope": "openid write"})["error"] == "consent_required"
    AccessToken.objects.all().delete()
    assert asked(client, **silent)["error"] == "consent_required"
    application.skip_authorization = True
    application.save()
    assert "code" in asked(client, **silent)


def test_silent_request_of_an_app_on_the_users_machine(
    client: Client, user: User, application: Application
) -> None:
    application.redirect_uris += " http://127.0.0.1/callback"
    application.save()
    log_in(client, user)
    for more in ({"prompt": "none"}, {"approval_prompt": "auto"}):
        page = client.get("/o/authorize/", QUERY | {"redirect_uri": "http://127.0.0.1:1/callback"} | more)
        assert "code=" not in page.headers.get("Location", "")


def test_silent_request_with_more_prompts_or_a_strange_address(client: Client, user: User) -> None:
    client.force_login(user)
    assert asked(client, prompt="none login")["error"] == "invalid_request"
    page = client.get("/o/authorize/", QUERY | {"prompt": "none", "redirect_uri": "https://evil.example/"})
    assert page.status_code == 400


@pytest.mark.parametrize("prompt", ["login", "login consent"])
def test_log_in_is_asked_for_again(client: Client, user: User, prompt: str) -> None:
    client.force_login(user)
    resources = ["https://a.example/", "https://b.example/"]
    page = client.get("/o/authorize/", QUERY | {"prompt": prompt, "resource": resources})

    (next_,) = parse_qs(urlsplit(page.headers["Location"]).query)["next"]
    query = parse_qs(urlsplit(next_).query)
    assert query["resource"] == resources
    assert query.get("prompt") == (["consent"] if "consent" in prompt else None)
    assert client.get(next_).status_code == 200


def test_age_of_the_log_in(client: Client, user: User) -> None:
    client.force_login(user)
    assert asked(client, max_age="60") == {}
    assert asked(client, max_age="soon") == {}
    assert asked(client, max_age="9" * 400) == {}
    User.objects.update(last_login=timezone.now() - timedelta(minutes=2))
    assert asked(client, max_age="60", prompt="none")["error"] == "login_required"

    for max_age in ("60", "0"):
        page = client.get("/o/authorize/", QUERY | {"max_age": max_age})
        (next_,) = parse_qs(urlsplit(page.headers["Location"]).query)["next"]
        assert page.headers["Location"].startswith("/accounts/login/")
        client.force_login(user)
        assert client.get(next_).status_code == 200, "asked once, not for ever"


@pytest.mark.parametrize(
    "more",
    [
        {"scope": "openid email address phone offline_access custom:thing"},
        {"login_hint": "ada@example.org", "acr_values": "a b", "ui_locales": "de en", "display": "popup"},
        {"response_mode": "query", "audience": "https://api.example/", "access_type": "offline"},
        {"claims": '{"userinfo": {"email": null}, "id_token": {"auth_time": {"essential": true}}}'},
        {"nonce": "", "login_hint": "", "prompt": "", "max_age": "", "claims": "", "resource": ""},
        {"id_token_hint": "x", "prompt": "consent select_account"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_request_with_more_than_is_known(client: Client, user: User, more: dict[str, str]) -> None:
    client.force_login(user)
    page = client.get("/o/authorize/", QUERY | more)
    form = {name: value for name, value in page.context["form"].initial.items() if value}

    assert form["scope"] == "openid email"
    page = client.post("/o/authorize/", form | {"allow": "Authorize"})
    assert "code=" in page.headers["Location"]


@pytest.mark.parametrize("endpoint", ["/o/authorize/", "/o/authorize", "/authorize/"])
def test_empty_scope_is_none(client: Client, user: User, endpoint: str) -> None:
    client.force_login(user)
    page = client.get(endpoint, QUERY | {"scope": "", "nonce": ""})
    assert page.context["form"].initial["scope"] == "read write"


def test_unknown_scope_without_openid_is_refused(client: Client, user: User) -> None:
    client.force_login(user)
    assert asked(client, scope="read everything")["error"] == "invalid_scope"


def test_scopes_of_a_refresh(client: Client, user: User) -> None:
    tokens = log_in(client, user, scope="openid email offline_access")
    assert tokens["scope"] == "openid email"
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert token(client, **refresh, scope="openid email read").json()["error"] == "invalid_scope"

    tokens = token(client, **refresh, scope="openid email offline_access").json()
    assert tokens["scope"] == "openid email"
    refresh["refresh_token"] = tokens["refresh_token"]
    assert token(client, **refresh, scope="").json()["scope"] == "openid email"


def test_scopes_of_a_device(client: Client) -> None:
    Application.objects.create(
        client_id="a-device", client_type="public", authorization_grant_type=DEVICE, algorithm="RS256"
    )
    assert begin(client, scope="openid offline_access")["status"] == 200
    assert begin(client, scope="read everything")["error"] == "invalid_scope"
    assert begin(client, scope="")["status"] == 200


@pytest.fixture
def service() -> Application:
    return Application.objects.create(
        client_id="svc: 1%2",
        client_secret=HARD,
        client_type="confidential",
        authorization_grant_type="client-credentials",
    )


def credentials(scheme: str, *parts: str) -> dict[str, str]:
    return {"Authorization": f"{scheme} {b64encode(':'.join(parts).encode()).decode()}"}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
@pytest.mark.parametrize("encoded", [True, False])
def test_credentials_in_the_header(client: Client, service: Application, scheme: str, encoded: bool) -> None:
    """As Go, Spring and openid-client send them, encoded, and as curl, Python and PHP do."""
    if not encoded:  # then there can't be a colon in the first
        Application.objects.filter(pk=service.pk).update(client_id="svc 1%2+")
        service.refresh_from_db()
    parts = [service.client_id, HARD]
    headers = credentials(scheme, *(map(quote_plus, parts) if encoded else parts))

    for path in ("/o/token/", "/token", "/o/token"):
        assert client.post(path, {"grant_type": "client_credentials"}, headers=headers).status_code == 200
    assert client.post("/o/introspect/", {"token": "x"}, headers=headers).json() == {"active": False}
    assert client.post("/o/revoke_token/", {"token": "x"}, headers=headers).status_code == 200
    wrong = credentials(scheme, parts[0], f"{HARD}x")
    assert client.post("/o/token/", {"grant_type": "client_credentials"}, headers=wrong).status_code == 401


@pytest.mark.parametrize(
    "more", [{"scope": ""}, {"scope": "read", "audience": "x"}, {"client_id": "an-id", "client_secret": ""}]
)
@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", f"{FORM.upper()};charset=utf-8"])
def test_forms_of_a_token_request(
    client: Client, application: Application, more: dict[str, str], content_type: str
) -> None:
    application.authorization_grant_type = "client-credentials"
    application.save()
    body = urlencode({"grant_type": "client_credentials"} | more)
    answer = client.post(
        "/o/token/", body, content_type=content_type, headers=credentials("Basic", "an-id", SECRET)
    )
    assert answer.json()["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/o/token/", {"grant_type": "client_credentials", "resource": "nowhere"}),
        ("/o/token/?grant_type=client_credentials", {}),
        ("/o/token/", {"grant_type": "password"}),
        ("/o/token/", {}),
        ("/o/revoke_token/", {}),
        ("/o/revoke_token/?token=x", {}),
    ],
)
def test_errors_are_json(client: Client, service: Application, path: str, data: dict[str, str]) -> None:
    headers = credentials("Basic", quote_plus(service.client_id), quote_plus(HARD))
    answer = client.post(path, data, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert "error" in json.loads(answer.content)


@pytest.mark.parametrize("path", ["/o/token/", "/o/revoke_token/"])
def test_wrong_credentials_are_answered_in_their_scheme(client: Client, path: str) -> None:
    data = {"grant_type": "client_credentials", "token": "x"}
    answer = client.post(path, data, headers=credentials("Basic", "an-id", "wrong"))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/jwt", "text/html"])
def test_token_is_shown(client: Client, user: User, scheme: str, accept: str) -> None:
    access_token = log_in(client, user, scope="openid read")["access_token"]
    headers = {"Authorization": f"{scheme} {access_token}", "Accept": accept}
    stranger = Client(enforce_csrf_checks=True)
    for path in ("/o/userinfo/", "/o/userinfo"):
        assert stranger.get(path, headers=headers).json() == {"sub": str(user.pk)}
        assert stranger.post(path, headers=headers).json() == {"sub": str(user.pk)}
        assert stranger.head(path, headers=headers).status_code == 200
    assert stranger.get("/api/hello", headers=headers).text == "Hello, OAuth2!"
    assert stranger.head("/api/hello", headers=headers).status_code == 200
    form = urlencode({"access_token": access_token})
    assert stranger.post("/o/userinfo/", form, content_type=FORM).json() == {"sub": str(user.pk)}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_metadata_tells_what_isnt_there(client: Client, prefix: str) -> None:
    found = discover(client, prefix)
    assert found["response_modes_supported"] == ["query"]
    assert found["request_uri_parameter_supported"] is False
    for path in ("/.well-known/openid-configuration", "/o/.well-known/openid-configuration"):
        assert client.head(path).status_code == 200
