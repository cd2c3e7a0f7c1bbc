"""Client libraries that others write, in the flows that their documentation shows."""

import re
from html import unescape

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from oauth2_provider.models import Application
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from .conftest import both_engines_for_real
from .server import Server

pytestmark = [both_engines_for_real, pytest.mark.parametrize("engine", ["sqlite"], indirect=True)]
SECRET = "0123456789abcdef0123456789abcdef"
LOOPBACK = "http://127.0.0.1:54321/callback"


@pytest.fixture(autouse=True)
def without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("AUTHLIB", "OAUTHLIB"):
        monkeypatch.setenv(f"{library}_INSECURE_TRANSPORT", "1")


def register(**fields: str) -> Application:
    # Not by the tests' own hasher, which the server doesn't know.
    password = make_password("correct horse", hasher="pbkdf2_sha256")
    user = User.objects.create(username="someone", password=password)
    secret = SECRET if fields["client_type"] == "confidential" else ""
    return Application.objects.create(client_id="an-id", client_secret=secret, user=user, **fields)


def agree(url: str) -> str:
    """Log in and agree, as in a browser; return where that sends the browser then."""
    with requests.Session() as browser:
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
