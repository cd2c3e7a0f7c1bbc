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


def test_client_that_was_removed_meanwhile_gets_no_consent(
    client: Client, application: Application, user: User
) -> None:
    client.force_login(user)
    query = {"response_type": "code", "client_id": "an-id", "redirect_uri": REDIRECT_URI}
    query |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    form = client.get("/o/authorize/", query).context["form"].initial
    application.delete()

    page = client.post(
        "/o/authorize/", {name: value for name, value in form.items() if value} | {"allow": "x"}
    )

    assert page.status_code == 400
    assert "Invalid client_id" in page.content.decode()


def test_incomplete_consent_is_asked_for_again(client: Client, application: Application, user: User) -> None:
    client.force_login(user)

    page = client.post("/o/authorize/?prompt=none", {"allow": "Authorize"})

    assert page.status_code == 200
    assert "This field is required." in page.content.decode()


def test_wrong_client_secret_is_refused(client: Client, machine: Application) -> None:
    response = client.post(
        "/o/token/", {"grant_type": "client_credentials", "client_id": "an-id", "client_secret": "wrong"}
    )

    assert response.status_code == 401


def test_client_secret_is_stored_hashed(application: Application) -> None:
    assert SECRET not in Application.objects.get(pk=application.pk).client_secret


@pytest.mark.django_db
def test_resource_tells_a_client_what_it_lacks(client: Client) -> None:
    nothing = hello_with(client)
    assert nothing.status_code == 401
    assert nothing.headers["WWW-Authenticate"] == f"Bearer {METADATA}"
    unknown = hello_with(client, Authorization="Bearer unknown")
    assert unknown.status_code == 401
    assert unknown.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token",')
    assert b"Hello" not in nothing.content + unknown.content


METADATA = 'resource_metadata="http://testserver/.well-known/oauth-protected-resource/api/hello"'


def hello_with(client: Client, **headers: str) -> "Response":
    return client.get("/api/hello", headers=headers)


def test_expired_token_is_told(client: Client, tokens: dict[str, Any]) -> None:
    AccessToken.objects.update(expires=timezone.now())

    response = hello(client, tokens["access_token"])

    assert response.status_code == 401
    assert 'error_description="The access token has expired."' in response.headers["WWW-Authenticate"]


def test_token_in_the_query_string_is_refused(client: Client, tokens: dict[str, Any]) -> None:
    response = client.get("/api/hello", {"access_token": tokens["access_token"]})

    assert response.status_code == 401


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
    assert hello(client, fresh["access_token"]).status_code == 401
    again = token(client, grant_type="refresh_token", refresh_token=fresh["refresh_token"])
    assert again.json()["error"] == "invalid_grant"


def test_revoked_token_closes_the_resource(client: Client, tokens: dict[str, Any]) -> None:
    response = client.post("/o/revoke_token/", {"token": tokens["access_token"]}, headers=BASIC)

    assert response.status_code == 200
    assert hello(client, tokens["access_token"]).status_code == 401


def test_introspection_tells_live_from_unknown(client: Client, tokens: dict[str, Any]) -> None:
    live = client.post("/o/introspect/", {"token": tokens["access_token"]}, headers=BASIC)
    unknown = client.post("/o/introspect/", {"token": "unknown"}, headers=BASIC)

    assert live.json()["active"] is True
    assert live.json()["username"] == "operator"
    # Resource servers of others, such as Apache's mod_oauth2, refuse a token that has no subject.
    assert live.json()["sub"] == str(User.objects.get(username="operator").pk)
    assert unknown.json() == {"active": False}


def test_introspection_names_the_client_that_acts_for_itself(client: Client, tokens: dict[str, Any]) -> None:
    AccessToken.objects.update(user=None)

    found = client.post("/o/introspect/", {"token": tokens["access_token"]}, headers=BASIC).json()

    assert found["active"] is True
    assert found["sub"] == found["client_id"]


@pytest.mark.django_db
def test_introspection_needs_client_authentication(client: Client) -> None:
    refused = client.post("/o/introspect/", {"token": "x"})

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"


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


def test_form_offers_what_works(client: Client, user: User) -> None:
    client.force_login(user)
    grants = ["authorization-code", "client-credentials", "urn:ietf:params:oauth:grant-type:device_code"]
    for page in ("oauth2_provider:register", "admin:oauth2_provider_application_add"):
        context = client.get(reverse(page)).context
        form = context["adminform"].form if "adminform" in context else context["form"]

        assert (
            sorted(value for value, _ in form.fields["authorization_grant_type"].choices if value) == grants
        )
        if "algorithm" in form.fields:
            assert [value for value, _ in form.fields["algorithm"].choices] == [""]
        data = {
            "client_type": "public",
            "authorization_grant_type": "implicit",
            "redirect_uris": REDIRECT_URI,
        }
        assert "implicit is not one of the available choices" in client.post(reverse(page), data).text


def test_older_application_can_be_edited(client: Client, application: Application, user: User) -> None:
    Application.objects.update(authorization_grant_type="password")
    client.force_login(user)
    page = reverse("oauth2_provider:update", args=[application.pk])
    form = client.get(page).context["form"]

    data = {name: form[name].value() or "" for name in form.fields} | {"name": "renamed"}
    assert client.post(page, data).status_code == 302
    assert Application.objects.get().name == "renamed"


ORIGIN = "https://spa.example"
# What browsers may ask for, and how they do.
FOR_SCRIPTS = {
    "/o/token/": "POST",
    "/o/token": "POST",
    "/o/revoke_token/": "POST",
    "/o/device-authorization/": "POST",
    "/api/hello": "GET",
}


def cors(client: Client, path: str) -> tuple[str | None, str | None]:
    """Which origin the permission names, and which one the answer."""
    method = FOR_SCRIPTS.get(path, "GET")
    asks = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
    before = client.options(path, headers={"Origin": ORIGIN} | asks)
    after = client.generic(method, path, headers={"Origin": ORIGIN})
    name = "Access-Control-Allow-Origin"
    return before.headers.get(name), after.headers.get(name)


@pytest.mark.django_db
@pytest.mark.parametrize("path", FOR_SCRIPTS)
def test_other_origins_are_shut_out_by_default(client: Client, path: str) -> None:
    assert cors(client, path) == (None, None)


@pytest.mark.django_db
@pytest.mark.parametrize("path", FOR_SCRIPTS)
def test_origins_that_settings_list_reach_api_and_tokens(
    client: Client, settings: Settings, path: str
) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]

    assert cors(client, path) == (ORIGIN, ORIGIN)


@pytest.mark.parametrize("path", FOR_SCRIPTS)
def test_origins_that_an_application_lists_reach_api_and_tokens(
    client: Client, application: Application, path: str
) -> None:
    for listed, expected in {
        f"https://a.example {ORIGIN}": ORIGIN,
        f"{ORIGIN}.evil.example": None,
        f"{ORIGIN}:8443": None,
    }.items():
        Application.objects.update(allowed_origins=listed)

        assert cors(client, path) == (expected, expected)


@pytest.mark.parametrize("path", ["/o/authorize/", "/admin/", "/accounts/login/"])
def test_pages_for_people_are_shut_out_always(
    client: Client, application: Application, settings: Settings, path: str
) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    Application.objects.update(allowed_origins=ORIGIN)

    assert cors(client, path) == (None, None)


@pytest.mark.django_db
def test_metadata_is_open_for_all_scripts(client: Client) -> None:
    assert None not in cors(client, "/.well-known/oauth-authorization-server/o")


def test_long_state_survives_the_login(client: Client, application: Application, user: User) -> None:
    query = {"response_type": "code", "client_id": "an-id", "redirect_uri": REDIRECT_URI, "state": "s/" * 900}
    query |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    login = client.get("/o/authorize/", query, follow=True)
    data = {
        "username": "operator",
        "password": "correct horse",
        "next": login.context["redirect_field_value"],
    }

    page = client.post("/accounts/login/", data, follow=True)

    assert page.context["form"].initial["state"] == "s/" * 900


@pytest.mark.parametrize(
    "next_",
    ["https://evil.example/?" + "x" * 3000, "//evil.example?x", "/\\evil.example?x", "x" * 3000, "http://["],
)
def test_long_address_leads_nowhere_else(client: Client, user: User, next_: str) -> None:
    data = {"username": "operator", "password": "correct horse", "next": next_}

    assert client.post("/accounts/login/", data).headers["Location"] == "/"
