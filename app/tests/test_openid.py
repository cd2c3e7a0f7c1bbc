"""OpenID Connect: discovery, ID tokens, userinfo and logout, over HTTP."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from joserfc import jwt
from joserfc.jwk import KeySet
from oauth2_provider.models import Application, IDToken
from pytest_django import Settings as DjangoSettings

from tutorial import claims

from .conftest import Settings
from .test_device import DEVICE, answer, begin, poll
from .test_oauth import CHALLENGE, REDIRECT_URI, SECRET, VERIFIER, application

__all__ = ["application"]  # a fixture
LOGGED_OUT = "https://client.example/bye"
PREFIXES = ["", "/o"]


def private_pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(private: str) -> str:
    key = load_pem_private_key(private.encode(), None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


BODIES: list[object] = [1, [], {}, {"aud": 5}, {"aud": {"a": 1}}, {"aud": "an-id"}, {"aud": ["an-id"]}]
FIRST, SECOND = private_pem(), private_pem()


Keys = Callable[..., None]


@pytest.fixture
def keys(settings_with: Settings, settings: DjangoSettings) -> Keys:
    """Sign with the first key given and publish the others."""

    def keys(signing: str, *published: str) -> None:
        found = settings_with(
            OIDC_RSA_PRIVATE_KEY=signing, OIDC_RSA_PRIVATE_KEYS_INACTIVE="\n".join(published)
        )
        settings.OAUTH2_PROVIDER = found["OAUTH2_PROVIDER"] | {"ALWAYS_RELOAD_OAUTHLIB_CORE": True}

    return keys


@pytest.fixture(autouse=True)
def relying_party(keys: Keys, application: Application, user: User) -> Application:
    keys(FIRST)
    User.objects.update(first_name="Ada", last_name="Lovelace", email="ada@example.org")
    application.algorithm = "RS256"
    application.post_logout_redirect_uris = LOGGED_OUT
    application.save()
    return application


def discover(client: Client, prefix: str) -> dict[str, Any]:
    return dict(client.get(f"{prefix}/.well-known/openid-configuration").json())


def log_in(client: Client, user: User, prefix: str = "/o", scope: str | None = "openid") -> dict[str, Any]:
    """Return what the token endpoint answers, or the error of the one before."""
    found = discover(client, prefix)
    client.force_login(user)
    query = {"response_type": "code", "client_id": "an-id", "redirect_uri": REDIRECT_URI, "nonce": "n"}
    query |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "state": "s"}
    query |= {"scope": scope} if scope else {}
    endpoint = urlsplit(found["authorization_endpoint"]).path
    page = client.get(endpoint, query)
    if page.status_code == 200:
        form = {name: value for name, value in page.context["form"].initial.items() if value}
        page = client.post(endpoint, form | {"allow": "Authorize"})
    answers = parse_qs(urlsplit(page.headers["Location"]).query)
    answered = {name: values[0] for name, values in answers.items()}
    assert answered["iss"] == found["issuer"]
    if "error" in answered:
        return answered
    data = {"grant_type": "authorization_code", "code": answered["code"], "redirect_uri": REDIRECT_URI}
    data |= {"client_id": "an-id", "client_secret": SECRET, "code_verifier": VERIFIER}
    return dict(client.post(urlsplit(found["token_endpoint"]).path, data).json())


def verified(client: Client, id_token: str, prefix: str = "/o") -> dict[str, Any]:
    """Return the claims of an ID token, whose signature is checked by the published keys, as clients do."""
    published = client.get(urlsplit(discover(client, prefix)["jwks_uri"]).path).json()
    return dict(jwt.decode(id_token, KeySet.import_key_set(published)).claims)


def kid(id_token: str) -> str:
    header = id_token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=="))["kid"])


@pytest.mark.parametrize("prefix", PREFIXES)
def test_discovery_names_the_issuer_of_its_place(client: Client, prefix: str) -> None:
    found = discover(client, prefix)

    assert found["issuer"] == f"http://testserver{prefix}"
    assert found["response_types_supported"] == ["code"]
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert {"openid", "profile", "email", "read"} <= set(found["scopes_supported"])
    assert {"sub", "name", "email", "email_verified", "preferred_username"} <= set(found["claims_supported"])
    assert "none" in found["token_endpoint_auth_methods_supported"]
    assert "refresh_token" in found["grant_types_supported"]
    for name in ("authorization", "token", "userinfo", "end_session", "revocation", "device_authorization"):
        path = urlsplit(found[f"{name}_endpoint"]).path
        assert client.get(path).status_code not in {404, 301}, name
    # The same in the document for clients that don't speak OpenID Connect.
    other = client.get(f"/.well-known/oauth-authorization-server{prefix}").json()
    assert {name: found[name] for name in other if name in found} == other


def test_discovery_by_the_rule_of_other_metadata(client: Client) -> None:
    assert client.get("/.well-known/openid-configuration/o").json() == discover(client, "/o")


def test_without_a_key_it_is_off(client: Client, settings: DjangoSettings, settings_with: Settings) -> None:
    settings.OAUTH2_PROVIDER = settings_with()["OAUTH2_PROVIDER"]

    for path in ("/.well-known/openid-configuration", "/o/.well-known/openid-configuration", "/o/logout/"):
        assert client.get(path).status_code == 404
    assert "openid" not in client.get("/o/.well-known/oauth-authorization-server").json()["scopes_supported"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_id_token_is_of_the_issuer_that_was_discovered(client: Client, user: User, prefix: str) -> None:
    tokens = log_in(client, user, prefix)

    claims = verified(client, tokens["id_token"], prefix)
    assert claims["iss"] == f"http://testserver{prefix}"
    assert (claims["aud"], claims["sub"], claims["nonce"]) == ("an-id", str(user.pk), "n")
    assert "email" not in claims
    data = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "an-id"}
    endpoint = urlsplit(discover(client, prefix)["token_endpoint"]).path
    fresh = client.post(endpoint, data | {"client_secret": SECRET}).json()
    assert verified(client, fresh["id_token"], prefix)["iss"] == claims["iss"]


STANDARD: dict[str, dict[str, Any]] = {
    "openid": {},
    "openid email": {"email": "ada@example.org", "email_verified": False},
    "openid profile": {
        "name": "Ada Lovelace",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "preferred_username": "operator",
    },
}


@pytest.mark.parametrize("scope", STANDARD)
def test_userinfo_tells_what_the_scopes_allow(client: Client, user: User, scope: str) -> None:
    tokens = log_in(client, user, scope=scope)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}

    expected = STANDARD[scope] | {"sub": str(user.pk)}
    assert client.get("/o/userinfo/", headers=bearer).json() == expected
    assert client.post("/o/userinfo", headers=bearer).json() == expected
    claims = verified(client, tokens["id_token"])
    assert expected.items() <= claims.items()


def test_claims_without_a_value_are_left_out(client: Client, user: User) -> None:
    User.objects.update(first_name="", last_name="", email="")
    bearer = {"Authorization": f"Bearer {log_in(client, user, scope='openid profile email')['access_token']}"}

    assert client.get("/o/userinfo/", headers=bearer).json() == {
        "sub": str(user.pk),
        "preferred_username": "operator",
    }


def test_claims_of_a_project(client: Client, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(claims.CLAIMS, "staff", ("profile", lambda user: user.is_staff))

    assert verified(client, log_in(client, user, scope="openid profile")["id_token"])["staff"] is True
    assert "staff" not in verified(client, log_in(client, user)["id_token"])
    assert "staff" in discover(client, "")["claims_supported"]


def test_userinfo_without_the_right_token(client: Client, user: User) -> None:
    other = log_in(client, user, scope="read")
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {other['access_token']}"}):
        response = client.get("/o/userinfo/", headers=headers)
        assert response.status_code in {401, 403}
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_scope_that_nobody_asked_for_is_not_given(client: Client, user: User) -> None:
    tokens = log_in(client, user, scope=None)

    assert tokens["scope"] == "read write"
    assert "id_token" not in tokens


def test_application_without_an_algorithm_is_told(
    client: Client, user: User, relying_party: Application
) -> None:
    relying_party.algorithm = ""
    relying_party.save()

    assert log_in(client, user)["error"] == "invalid_scope"
    assert "access_token" in log_in(client, user, scope="read")


def test_service_has_no_identity(client: Client, relying_party: Application) -> None:
    relying_party.authorization_grant_type = "client-credentials"
    relying_party.save()
    data = {"grant_type": "client_credentials", "client_id": "an-id", "client_secret": SECRET}

    assert client.post("/o/token/", data | {"scope": "openid"}).json()["error"] == "invalid_scope"
    assert client.post("/o/token/", data).json()["scope"] == "read write"


def test_device_learns_who_its_user_is(client: Client, user: User) -> None:
    Application.objects.create(
        client_id="a-device",
        client_secret="",
        client_type="public",
        authorization_grant_type=DEVICE,
        algorithm="RS256",
    )
    begun = begin(client, scope="openid")
    answer(Client(), user, begun["verification_uri_complete"], "accept")

    tokens = poll(client, begun["device_code"])

    assert verified(client, tokens["id_token"])["sub"] == str(user.pk)
    assert IDToken.objects.get().application.client_id == "a-device"


def test_rotation(client: Client, user: User, keys: Keys) -> None:
    before = log_in(client, user)["id_token"]
    published = client.get("/o/.well-known/jwks.json").json()["keys"]
    assert [key["kid"] for key in published] == [kid(before)]
    assert not {"d", "p", "q"} & set(published[0])

    keys(FIRST, public_pem(SECOND))  # publish
    still = log_in(client, user)["id_token"]
    assert kid(still) == kid(before)
    known = KeySet.import_key_set(client.get("/o/.well-known/jwks.json").json())  # a cache

    keys(SECOND, public_pem(FIRST))  # sign
    after = log_in(client, user)["id_token"]
    assert kid(after) != kid(before)
    for token in (before, still, after):
        jwt.decode(token, known)
        assert verified(client, token)["sub"] == str(user.pk)

    keys(SECOND)  # retire
    assert [key["kid"] for key in client.get("/o/.well-known/jwks.json").json()["keys"]] == [kid(after)]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("rotated", [False, True])
def test_logout(client: Client, user: User, keys: Keys, prefix: str, rotated: bool) -> None:
    hint = log_in(client, user, prefix)["id_token"]
    if rotated:
        keys(SECOND, public_pem(FIRST))
    query = {"id_token_hint": hint, "post_logout_redirect_uri": LOGGED_OUT, "state": "s"}
    endpoint = urlsplit(discover(client, prefix)["end_session_endpoint"]).path

    page = client.get(endpoint, query)
    assert (page.status_code, "<title>Log out" in page.text) == (200, True)
    form = {name: value for name, value in page.context["form"].initial.items() if value}
    response = client.post(endpoint, form | {"allow": "Logout"})

    assert response.headers["Location"] == f"{LOGGED_OUT}?state=s"
    assert "_auth_user_id" not in client.session


def test_key_that_is_retired_proves_nothing(client: Client, user: User, keys: Keys) -> None:
    hint = log_in(client, user)["id_token"]
    keys(SECOND)

    assert client.get("/o/logout/", {"id_token_hint": hint}).status_code == 400
    assert "_auth_user_id" in client.session


def b64(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


HEADERS = [{"alg": "RS256", "kid": kid} for kid in ("x", 5, None, ["x"])] + [{"alg": "none"}]
REFUSED: list[dict[str, str]] = [
    {"client_id": "unknown"},
    {"client_id": "unknown", "post_logout_redirect_uri": LOGGED_OUT},
    {"post_logout_redirect_uri": LOGGED_OUT},
    {"client_id": "an-id", "post_logout_redirect_uri": "https://evil.example/"},
    {"client_id": "an-id", "post_logout_redirect_uri": "http://client.example/stored/unchecked"},
    {"client_id": "an-id", "post_logout_redirect_uri": "https://["},
    *({"id_token_hint": hint} for hint in ("x", "a.b.c", "....")),
    *({"id_token_hint": f"{b64(header)}.{b64(body)}.AAAA"} for header in HEADERS for body in BODIES),
]


def test_logout_that_is_refused(client: Client, user: User) -> None:
    unchecked = "http://client.example/stored/unchecked"
    client.force_login(user)
    for algorithm in ("RS256", ""):
        Application.objects.update(post_logout_redirect_uris=f"{LOGGED_OUT} {unchecked}", algorithm=algorithm)
        for query in REFUSED:
            response = client.get("/o/logout/", query)
            assert (response.status_code, "_auth_user_id" in client.session) == (400, True), query


def test_form_offers_the_algorithm_that_works(client: Client, user: User) -> None:
    client.force_login(user)
    for page in ("oauth2_provider:register", "admin:oauth2_provider_application_add"):
        context = client.get(reverse(page)).context
        form = context["adminform"].form if "adminform" in context else context["form"]
        assert [value for value, _ in form.fields["algorithm"].choices] == ["", "RS256"]
        assert form["algorithm"].value() == "RS256"
        data = {"client_type": "public", "authorization_grant_type": "authorization-code"}
        data |= {"redirect_uris": REDIRECT_URI, "post_logout_redirect_uris": "http://client.example/"}
        assert "http is only for the user&#x27;s own machine" in client.post(reverse(page), data).text


def test_older_algorithm_stays(client: Client, user: User, relying_party: Application) -> None:
    Application.objects.update(algorithm="HS256", client_secret=SECRET, hash_client_secret=False)
    client.force_login(user)
    form = client.get(reverse("oauth2_provider:update", args=[relying_party.pk])).context["form"]

    assert [value for value, _ in form.fields["algorithm"].choices] == ["", "RS256", "HS256"]


def test_script_of_another_origin_may_ask_who_the_user_is(client: Client, user: User) -> None:
    Application.objects.update(allowed_origins="https://spa.example")
    headers = {"Origin": "https://spa.example", "Access-Control-Request-Method": "GET"}

    for path in ("/o/userinfo/", "/token/", "/.well-known/openid-configuration", "/o/.well-known/jwks.json"):
        assert (
            client.options(path, headers=headers).headers["Access-Control-Allow-Origin"]
            == "https://spa.example"
        )
