"""Client libraries for Python, in the flows that their documentation shows."""

import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient
from person import SITE, agree, agree_in_browser, press
from requests_oauthlib import OAuth2Session
from social_core.backends.open_id_connect import OpenIdConnectAuth
from social_core.storage import AssociationMixin, BaseStorage
from social_core.strategy import BaseStrategy

URL = SITE["url"]
CALLBACK = "https://client.example.org/callback"
WEB = ("web", SITE["secrets"]["web"])
SERVICE = ("service", SITE["secrets"]["service"])
VERIFIER = "v" * 48


def discover(issuer: str) -> dict[str, Any]:
    """Return the server's metadata, checked as authlib does."""
    found = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=60).json()
    assert found["issuer"] == issuer
    OpenIDProviderMetadata(found).validate()
    return dict(found)


def begun(metadata: dict[str, Any], method: str) -> tuple[AuthlibSession, requests.Session, dict[str, Any]]:
    """Log in through authlib; return client, browser and tokens."""
    client = AuthlibSession(
        *WEB,
        scope="openid email profile",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint=metadata["token_endpoint"],
        token_endpoint_auth_method=method,
    )
    url, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=VERIFIER, nonce="n")
    browser, location = agree_in_browser(url)
    token = client.fetch_token(authorization_response=location, state=state, code_verifier=VERIFIER)
    return client, browser, token


@pytest.mark.parametrize("issuer", [URL, f"{URL}/o"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_logs_a_user_in_and_out(issuer: str, method: str) -> None:
    metadata = discover(issuer)
    client, browser, token = begun(metadata, method)

    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=60).json())
    decoded = jwt.decode(token["id_token"], keys)
    options = {"iss": {"value": issuer}, "aud": {"value": "web"}}
    more = {"client_id": "web", "nonce": "n", "access_token": token["access_token"]}
    claims = CodeIDToken(decoded.claims, decoded.header, options, more)
    claims.validate()
    assert claims["email"] == "someone@example.org"
    userinfo = client.get(metadata["userinfo_endpoint"]).json()
    assert (userinfo["sub"], userinfo["preferred_username"]) == (claims["sub"], "someone")

    query = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": "https://client.example.org/"}
    page = browser.get(metadata["end_session_endpoint"], params=query)
    assert press(browser, page, "allow", "Logout").headers["Location"] == "https://client.example.org/"
    assert "/accounts/login/" in browser.get(f"{URL}/accounts/applications/").url


def test_authlib_refreshes_and_revokes() -> None:
    metadata = discover(URL)
    client, _, first = begun(metadata, "client_secret_basic")
    second = client.refresh_token()
    assert second["refresh_token"] != first["refresh_token"]
    service = AuthlibSession(*SERVICE)
    service.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")

    def is_active(token: str) -> bool:
        answer = service.introspect_token(metadata["introspection_endpoint"], token, client_id="service")
        return bool(answer.json()["active"])

    assert is_active(second["access_token"])
    assert not is_active(first["access_token"])
    client.revoke_token(metadata["revocation_endpoint"], second["refresh_token"], "refresh_token")
    assert not is_active(second["access_token"])
    with pytest.raises(OAuthError, match="invalid_grant"):
        client.refresh_token(refresh_token=second["refresh_token"])


def test_a_refresh_token_that_is_used_again_ends_all_that_came_of_it() -> None:
    metadata = discover(URL)
    client, _, first = begun(metadata, "client_secret_basic")
    second = client.refresh_token()
    time.sleep(2.5)  # within two seconds it may be the same request once more

    with pytest.raises(OAuthError, match="invalid_grant"):
        client.refresh_token(refresh_token=first["refresh_token"])
    with pytest.raises(OAuthError, match="invalid_grant"):
        client.refresh_token(refresh_token=second["refresh_token"])
    client.token = second
    assert client.get(f"{URL}/api/hello").status_code == 401


def test_requests_oauthlib_native_app() -> None:
    metadata = discover(f"{URL}/o")
    client = OAuth2Session(
        "native", scope=["openid", "email", "read"], redirect_uri="http://127.0.0.1:54321/callback", pkce="S256"
    )
    url, _ = client.authorization_url(metadata["authorization_endpoint"])

    location = agree(url).replace("http://", "https://", 1)  # the library takes no other answer
    client.fetch_token(metadata["token_endpoint"], authorization_response=location, include_client_id=True)
    client.refresh_token(metadata["token_endpoint"], client_id="native")

    assert client.get(f"{URL}/api/hello").text == "Hello, OAuth2!"
    assert client.get(metadata["userinfo_endpoint"]).json()["email"] == "someone@example.org"


def test_requests_oauthlib_service() -> None:
    client = OAuth2Session(client=BackendApplicationClient("service"))
    client.fetch_token(f"{URL}/o/token/", auth=SERVICE)
    assert client.get(f"{URL}/api/hello").text == "Hello, OAuth2!"


class Associations:
    """Where social-auth-core keeps what goes into ID tokens."""

    def __init__(self) -> None:
        self.kept: list[AssociationMixin] = []

    def store(self, server_url: str, association: Any) -> None:
        kept = AssociationMixin()
        vars(kept).update(vars(association), id=association.handle)
        self.kept.append(kept)

    def get(self, server_url: str, handle: str) -> list[AssociationMixin]:
        return [one for one in self.kept if one.handle == handle]

    def remove(self, ids_to_delete: list[str]) -> None:
        self.kept = [one for one in self.kept if one.handle not in ids_to_delete]


class Nonces(set[tuple[str, int, str]]):
    """Where it keeps states."""

    def use(self, *nonce: Any) -> bool:
        self.add(nonce)
        return True

    def consume(self, *nonce: Any) -> bool:
        found = nonce in self
        self.discard(nonce)
        return found


class Strategy(BaseStrategy):
    """What a web framework does for social-auth-core."""

    def __init__(self, settings: dict[str, Any]) -> None:
        storage = type("Storage", (BaseStorage,), {"association": Associations(), "nonce": Nonces()})
        super().__init__(storage=storage)
        self.settings, self.session, self.data = settings, {}, {}

    def get_setting(self, name: str) -> Any:  # the library's
        return self.settings[name]

    def session_get(self, name: str, default: Any = None) -> Any:  # the library's
        return self.session.get(name, default)

    def session_set(self, name: str, value: object) -> None:
        self.session[name] = value

    def session_pop(self, name: str) -> None:
        self.session.pop(name, None)

    def request_data(self, merge: bool = True) -> dict[str, str]:
        return self.data

    def build_absolute_uri(self, path: str | None = None) -> str:
        return path or CALLBACK

    def redirect(self, url: str) -> str:
        return url

    def authenticate(self, backend: object, *args: object, **kwargs: Any) -> Any:  # the library's
        return kwargs["response"]


def test_social_auth_core() -> None:
    strategy = Strategy(
        {
            "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": f"{URL}/o",
            "SOCIAL_AUTH_OIDC_KEY": WEB[0],
            "SOCIAL_AUTH_OIDC_SECRET": WEB[1],
            "SOCIAL_AUTH_OIDC_USE_PKCE": True,
        }
    )
    backend = OpenIdConnectAuth(strategy, redirect_uri=CALLBACK)
    location = agree(backend.start())
    strategy.data = dict(parse_qsl(urlsplit(location).query))
    backend = OpenIdConnectAuth(strategy, redirect_uri=CALLBACK)

    response = backend.auth_complete()

    assert backend.get_user_details(response)["email"] == "someone@example.org"
    assert backend.refresh_token(response["refresh_token"])["access_token"]
