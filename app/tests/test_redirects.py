"""Where answers may be sent: web apps, native apps, and apps that are being written."""

from io import StringIO
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from oauth2_provider.models import Application
from pytest_django import Settings

from .test_oauth import CHALLENGE, VERIFIER

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def opened(settings: Settings) -> None:
    settings.OAUTH_REDIRECT_SCHEMES = ["com.example.app"]
    settings.OAUTH_DEVELOPMENT_ORIGINS = ["http://localhost:3000"]
    settings.OAUTH2_PROVIDER = settings.OAUTH2_PROVIDER | {
        "ALLOWED_REDIRECT_URI_SCHEMES": ["https", "http", "com.example.app"]
    }


def create(uri: str) -> str:
    """Create a public client as an operator does; return what the command says."""
    output = StringIO()
    arguments = ["public", "authorization-code", "--client-id=a-client", f"--redirect-uris={uri}"]
    call_command("createapplication", *arguments, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        ("https://client.example/cb", "https://client.example/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:54321/cb"),
        ("http://127.0.0.1:8080/cb", "http://127.0.0.1/cb"),
        ("http://[::1]/cb", "http://[::1]:54321/cb"),
        ("http://localhost:3000/cb?x=y", "http://localhost:3000/cb?x=y"),
        ("com.example.app:/oauth", "com.example.app:/oauth"),
        ("com.example.app://oauth/cb", "com.example.app://oauth/cb"),
    ],
)
def test_flow_ends_where_the_client_is(client: Client, user: User, registered: str, asked: str) -> None:
    create(registered)
    client.force_login(user)
    query = {"response_type": "code", "client_id": "a-client", "redirect_uri": asked, "state": "s"}
    query |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}

    form = client.get("/o/authorize/", query).context["form"].initial
    form = {name: value for name, value in form.items() if value} | {"allow": "Authorize"}
    location = client.post("/o/authorize/", form).headers["Location"]

    assert location.startswith(asked)
    [code] = parse_qs(urlsplit(location).query)["code"]
    data = {"grant_type": "authorization_code", "client_id": "a-client", "code": code, "redirect_uri": asked}
    assert client.post("/o/token/", data | {"code_verifier": VERIFIER}).status_code == 200


REFUSED = [
    ("http://client.example/cb", "write https"),
    ("http://127.0.0.1.client.example/cb", "write https"),
    ("http://127.0.0.1@client.example/cb", "write https"),
    ("http://someone@127.0.0.1/cb", "write https"),
    ("http://localhost/cb", "127.0.0.1 or [::1] instead of localhost"),
    ("http://localhost:5173/cb", "lists http://localhost:5173 in django_app_oauth_development_origins"),
    ("com.example.other:/cb", "com.example.other', in django_app_oauth_redirect_schemes"),
    ("javascript:/alert(1)", "in django_app_oauth_redirect_schemes"),
]


@pytest.mark.parametrize(("uri", "reason"), REFUSED)
def test_refusal_says_what_to_do(client: Client, user: User, uri: str, reason: str) -> None:
    client.force_login(user)
    form = client.get(reverse("oauth2_provider:register")).context["form"]
    data = {name: form[name].value() or "" for name in form.fields} | {"client_type": "public"}
    data |= {"authorization_grant_type": "authorization-code", "redirect_uris": f"https://a.example/ {uri}"}

    errors = client.post(reverse("oauth2_provider:register"), data).context["form"].errors

    assert reason in errors["redirect_uris"][0]
    assert reason in create(uri)
    assert not Application.objects.exists()


@pytest.mark.parametrize("uri", [uri for uri, _ in REFUSED])
def test_stored_uri_that_was_never_checked_gets_nothing(client: Client, user: User, uri: str) -> None:
    Application.objects.create(
        client_id="a-client",
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris=uri,
    )
    client.force_login(user)
    query = {"response_type": "code", "client_id": "a-client", "redirect_uri": uri}
    query |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}

    assert client.get("/o/authorize/", query).status_code == 400


def test_localhost_of_another_port_does_not_match(client: Client, user: User) -> None:
    create("http://localhost:3000/cb")
    client.force_login(user)
    query = {"response_type": "code", "client_id": "a-client", "redirect_uri": "http://localhost:4000/cb"}

    assert client.get("/o/authorize/", query).status_code == 400


def test_origins_may_be_local_as_well() -> None:
    application = Application(client_type="public", authorization_grant_type="authorization-code")
    application.redirect_uris = "https://a.example/"
    for origin, reason in {
        "http://localhost:5173": "django_app_oauth_development_origins",
        "http://a.example": "write https",
    }.items():
        application.allowed_origins = origin
        with pytest.raises(ValidationError, match=reason):
            application.full_clean()

    application.allowed_origins = "http://localhost:3000 http://127.0.0.1:5173 https://spa.example"
    application.full_clean()
