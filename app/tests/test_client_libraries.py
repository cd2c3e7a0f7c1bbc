"""Client libraries that others write, in the flows that their documentation shows."""

import re
from html import unescape

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.cache import cache
from joserfc import jwt
from joserfc.jwk import KeySet
from oauth2_provider.models import Application
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from .conftest import Serve, both_engines_for_real
from .server import Server
from .test_openid import FIRST, LOGGED_OUT

pytestmark = [both_engines_for_real, pytest.mark.parametrize("engine", ["sqlite"], indirect=True)]
SECRET = "0123456789abcdef0123456789abcdef"
LOOPBACK = "http://127.0.0.1:54321/callback"


@pytest.fixture(autouse=True)
def without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("AUTHLIB", "OAUTHLIB"):
        monkeypatch.setenv(f"{library}_INSECURE_TRANSPORT", "1")


def register(**fields: str) -> Application:
    # Not by the tests' own hasher, which the server doesn't know.
    password = make_password("correct horse", hasher="argon2")
    user = User.objects.create(username="someone", password=password)
    secret = SECRET if fields["client_type"] == "confidential" else ""
    return Application.objects.create(client_id="an-id", client_secret=secret, user=user, **fields)


def agree(url: str, browser: requests.Session | None = None) -> str:
    """Log in and agree, as in a browser; return where that sends the browser then."""
    browser = browser or requests.Session()
    page = browser.get(url)
    login = {"username": "someone", "password": "correct horse"}
    page = browser.post(page.url, inputs(page.text) | login)
    answer = browser.post(page.url, inputs(page.text) | {"allow": "Authorize"}, allow_redirects=False)
    assert answer.is_redirect, (page.url, page.text, answer.text)
    return answer.headers["Location"]


def inputs(page: str) -> dict[str, str]:
    """The hidden fields of the page's last form."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" (?:value="([^"]*)")?', page)
    return {name: unescape(value) for name, value in found}


def test_authlib_native_app(server: Server) -> None:
    register(
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris="http://127.0.0.1/callback",
    )
    metadata = requests.get(f"{server.url}/.well-known/oauth-authorization-server/o", timeout=60).json()
    client = AuthlibSession(
        "an-id",
        scope="read",
        redirect_uri=LOOPBACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        token_endpoint=metadata["token_endpoint"],
    )
    verifier = "v" * 48
    url, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier)

    client.fetch_token(authorization_response=agree(url), state=state, code_verifier=verifier)

    assert client.get(f"{server.url}/api/hello").text == "Hello, OAuth2!"
    client.refresh_token()
    assert client.get(f"{server.url}/api/hello").text == "Hello, OAuth2!"
    revoked = client.revoke_token(metadata["revocation_endpoint"], token_type_hint="refresh_token")
    assert revoked.status_code == 200
    assert client.get(f"{server.url}/api/hello").status_code == 401


def test_requests_oauthlib_web_app(server: Server) -> None:
    register(
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris="https://client.example/callback",
    )
    client = OAuth2Session(
        "an-id", scope=["read"], redirect_uri="https://client.example/callback", pkce="S256"
    )
    url, _ = client.authorization_url(f"{server.url}/o/authorize/")

    client.fetch_token(f"{server.url}/o/token/", authorization_response=agree(url), client_secret=SECRET)
    client.refresh_token(f"{server.url}/o/token/", auth=("an-id", SECRET))

    assert client.get(f"{server.url}/api/hello").text == "Hello, OAuth2!"


def test_requests_oauthlib_service(server: Server) -> None:
    register(client_type="confidential", authorization_grant_type="client-credentials")
    client = OAuth2Session(client=BackendApplicationClient("an-id"))

    client.fetch_token(f"{server.url}/o/token", auth=("an-id", SECRET))

    assert client.get(f"{server.url}/api/hello").text == "Hello, OAuth2!"


def test_authlib_service_asks_about_tokens(server: Server) -> None:
    register(client_type="confidential", authorization_grant_type="client-credentials")
    client = AuthlibSession("an-id", SECRET, scope="read")

    token = client.fetch_token(f"{server.url}/o/token/", grant_type="client_credentials")

    answer = client.introspect_token(f"{server.url}/o/introspect/", token["access_token"])
    assert answer.json()["active"] is True


@pytest.fixture
def openid_server(engine: str, serve: Serve) -> Server:
    cache.clear()
    return serve(engine, OIDC_RSA_PRIVATE_KEY=FIRST)


def register_relying_party() -> User:
    application = register(
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris="https://client.example/callback",
        post_logout_redirect_uris=LOGGED_OUT,
        algorithm="RS256",
    )
    User.objects.update(email="someone@example.org")
    user: User = application.user
    return user


def discover(issuer: str) -> dict[str, str]:
    found: dict[str, str] = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=60).json()
    assert found["issuer"] == issuer
    return found


@pytest.mark.parametrize("prefix", ["", "/o"])
def test_authlib_logs_a_user_in_and_out(openid_server: Server, prefix: str) -> None:
    user = register_relying_party()
    metadata = discover(f"{openid_server.url}{prefix}")
    # http is for tests alone.
    OpenIDProviderMetadata({**metadata, "issuer": "https://id.example"}).validate_subject_types_supported()
    client = AuthlibSession(
        "an-id",
        SECRET,
        scope="openid email",
        redirect_uri="https://client.example/callback",
        code_challenge_method="S256",
        token_endpoint=metadata["token_endpoint"],
    )
    verifier = "v" * 48
    url, state = client.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce="n"
    )
    browser = requests.Session()

    token = client.fetch_token(
        authorization_response=agree(url, browser), state=state, code_verifier=verifier
    )

    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=60).json())
    options = {"iss": {"value": metadata["issuer"]}, "aud": {"value": "an-id"}}
    decoded = jwt.decode(token["id_token"], keys)
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options,
        {"client_id": "an-id", "nonce": "n", "access_token": token["access_token"]},
    )
    claims.validate()
    assert (claims["sub"], claims["email"]) == (str(user.pk), "someone@example.org")
    assert client.get(metadata["userinfo_endpoint"]).json()["email"] == "someone@example.org"
    assert jwt.decode(client.refresh_token()["id_token"], keys).claims["iss"] == metadata["issuer"]

    query = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": LOGGED_OUT, "state": "s"}
    page = browser.get(metadata["end_session_endpoint"], params=query)
    done = browser.post(page.url, inputs(page.text) | {"allow": "Logout"}, allow_redirects=False)
    assert done.headers["Location"] == f"{LOGGED_OUT}?state=s"
    assert "/accounts/login/" in browser.get(url).url


def test_requests_oauthlib_asks_who_the_user_is(openid_server: Server) -> None:
    user = register_relying_party()
    metadata = discover(f"{openid_server.url}/o")
    client = OAuth2Session(
        "an-id", scope=["openid", "email"], redirect_uri="https://client.example/callback", pkce="S256"
    )
    url, _ = client.authorization_url(metadata["authorization_endpoint"])

    client.fetch_token(metadata["token_endpoint"], authorization_response=agree(url), client_secret=SECRET)

    claims = client.get(metadata["userinfo_endpoint"]).json()
    assert claims == {"sub": str(user.pk), "email": "someone@example.org", "email_verified": False}
