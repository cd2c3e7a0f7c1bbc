"""The OAuth 2.0 flows, over HTTP."""

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, RefreshToken
from pytest_django import Settings

from tutorial.oauth.concurrency import SAME_MOMENT

if TYPE_CHECKING:  # a class that exists for type checkers only
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

REDIRECT_URI = "https://client.example/callback"
VERIFIER = "a-code-verifier-that-has-at-least-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
SECRET = "a client secret"
BASIC = {"Authorization": "Basic " + base64.b64encode(f"an-id:{SECRET}".encode()).decode()}


@pytest.fixture
def application(user: User) -> Application:
    return Application.objects.create(
        name="test",
        client_id="an-id",
        client_secret=SECRET,
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris=REDIRECT_URI,
        user=user,
    )


@pytest.fixture
def machine(application: Application) -> Application:
    application.authorization_grant_type = "client-credentials"
    application.save()
    return application


def authorize(client: Client, **parameters: str) -> dict[str, str]:
    """Press the button on the authorization page; return the parameters of the redirection."""
    query = {"response_type": "code", "client_id": "an-id", "redirect_uri": REDIRECT_URI} | parameters
    page = client.get("/o/authorize/", query)
    if page.status_code == 200:
        form = page.context["form"].initial
        answer = {name: value for name, value in form.items() if value} | {"allow": "Authorize"}
        page = client.post("/o/authorize/", answer)
    url = urlsplit(page.headers["Location"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == REDIRECT_URI
    return {name: values[0] for name, values in parse_qs(url.query).items()}


def token(client: Client, **data: str) -> "Response":
    return client.post("/o/token/", data, headers=BASIC)


def hello(client: Client, access_token: str) -> "Response":
    return client.get("/api/hello", headers={"Authorization": f"Bearer {access_token}"})


@pytest.fixture
def tokens(client: Client, application: Application, user: User) -> dict[str, Any]:
    """What the authorization code flow with PKCE yields."""
    client.force_login(user)
    answer = authorize(client, code_challenge=CHALLENGE, code_challenge_method="S256", state="x")
    assert answer["state"] == "x"
    response = token(
        client,
        grant_type="authorization_code",
        code=answer["code"],
        redirect_uri=REDIRECT_URI,
        code_verifier=VERIFIER,
    )
    assert response.status_code == 200, response.content
    return dict(response.json())


def test_client_credentials_open_the_resource(client: Client, machine: Application) -> None:
    response = token(client, grant_type="client_credentials")

    assert response.status_code == 200
    assert response.json()["expires_in"] == 3600
    assert hello(client, response.json()["access_token"]).content == b"Hello, OAuth2!"


def test_wrong_client_secret_is_refused(client: Client, machine: Application) -> None:
    response = client.post(
        "/o/token/", {"grant_type": "client_credentials", "client_id": "an-id", "client_secret": "wrong"}
    )

    assert response.status_code == 401


def test_client_secret_is_stored_hashed(application: Application) -> None:
    assert SECRET not in Application.objects.get(pk=application.pk).client_secret


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer unknown"}])
def test_resource_is_closed_without_a_valid_token(client: Client, headers: dict[str, str]) -> None:
    response = client.get("/api/hello", headers=headers)

    assert response.status_code in {401, 403}
    assert b"Hello" not in response.content


def test_token_in_the_query_string_is_refused(client: Client, tokens: dict[str, Any]) -> None:
    response = client.get("/api/hello", {"access_token": tokens["access_token"]})

    assert response.status_code in {401, 403}


def test_authorization_code_with_pkce_opens_the_resource(client: Client, tokens: dict[str, Any]) -> None:
    assert hello(client, tokens["access_token"]).status_code == 200


def test_tokens_are_not_stored_in_plain_text(tokens: dict[str, Any]) -> None:
    stored = [*AccessToken.objects.values_list("token"), *RefreshToken.objects.values_list("token")]

    assert stored == [("",), ("",)]


def test_authorization_needs_a_login(client: Client, application: Application) -> None:
    response = client.get("/o/authorize/", {"response_type": "code", "client_id": "an-id"})

    assert response.status_code == 302
    assert response.headers["Location"].startswith("/accounts/login/?next=/o/authorize/")


@pytest.mark.parametrize("pkce", [{}, {"code_challenge": VERIFIER, "code_challenge_method": "plain"}])
def test_authorization_without_s256_is_refused(
    client: Client, application: Application, user: User, pkce: dict[str, str]
) -> None:
    client.force_login(user)

    answer = authorize(client, **pkce)

    assert answer["error"] == "invalid_request"
    assert "code" not in answer


def test_code_is_useless_without_its_verifier(client: Client, application: Application, user: User) -> None:
    client.force_login(user)
    code = authorize(client, code_challenge=CHALLENGE, code_challenge_method="S256")["code"]

    response = token(
        client,
        grant_type="authorization_code",
        code=code,
        redirect_uri=REDIRECT_URI,
        code_verifier="another-verifier-with-at-least-forty-three-characters",
    )

    assert response.json() == {"error": "invalid_grant"}


def test_refreshing_yields_another_pair(client: Client, tokens: dict[str, Any]) -> None:
    response = token(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    assert response.status_code == 200
    assert response.json()["refresh_token"] != tokens["refresh_token"]
    assert hello(client, response.json()["access_token"]).status_code == 200


def test_reused_refresh_token_closes_the_whole_family(client: Client, tokens: dict[str, Any]) -> None:
    fresh = token(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    # Later than a request that came at the same moment.
    used = RefreshToken.objects.filter(revoked__isnull=False)
    assert used.update(revoked=timezone.now() - 1.1 * SAME_MOMENT) == 1

    reuse = token(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    assert reuse.json()["error"] == "invalid_grant"
    assert hello(client, fresh["access_token"]).status_code in {401, 403}
    again = token(client, grant_type="refresh_token", refresh_token=fresh["refresh_token"])
    assert again.json()["error"] == "invalid_grant"


def test_revoked_token_closes_the_resource(client: Client, tokens: dict[str, Any]) -> None:
    response = client.post("/o/revoke_token/", {"token": tokens["access_token"]}, headers=BASIC)

    assert response.status_code == 200
    assert hello(client, tokens["access_token"]).status_code in {401, 403}


def test_introspection_tells_live_from_unknown(client: Client, tokens: dict[str, Any]) -> None:
    live = client.post("/o/introspect/", {"token": tokens["access_token"]}, headers=BASIC)
    unknown = client.post("/o/introspect/", {"token": "unknown"}, headers=BASIC)

    assert live.json()["active"] is True
    assert live.json()["username"] == "operator"
    assert unknown.json() == {"active": False}


@pytest.mark.django_db
def test_introspection_needs_client_authentication(client: Client) -> None:
    assert client.post("/o/introspect/", {"token": "x"}).status_code in {401, 403}


def test_application_is_registered_through_the_pages(client: Client, user: User) -> None:
    client.force_login(user)
    form = client.get(reverse("oauth2_provider:register")).context["form"]
    data = {name: field.value() or "" for name, field in ((name, form[name]) for name in form.fields)}

    response = client.post(
        reverse("oauth2_provider:register"),
        data
        | {
            "name": "my client",
            "client_type": "confidential",
            "authorization_grant_type": "authorization-code",
            "redirect_uris": REDIRECT_URI,
        },
        follow=True,
    )

    assert response.status_code == 200
    assert Application.objects.get().name == "my client"
    assert "<title>Application | Authorization server</title>" in response.text


def cors(client: Client, path: str) -> str | None:
    headers = {"Origin": "https://spa.example", "Access-Control-Request-Method": "POST"}
    return client.options(path, headers=headers).headers.get("Access-Control-Allow-Origin")


@pytest.mark.django_db
def test_other_origins_are_shut_out_by_default(client: Client) -> None:
    assert cors(client, "/o/token/") is None
    assert cors(client, "/api/hello") is None


@pytest.mark.django_db
def test_listed_origins_reach_the_api_and_tokens_only(client: Client, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://spa.example"]

    assert cors(client, "/o/token/") == "https://spa.example"
    assert cors(client, "/api/hello") == "https://spa.example"
    assert cors(client, "/o/authorize/") is None
    assert cors(client, "/admin/") is None
