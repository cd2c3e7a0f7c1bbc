"""The device flow (RFC 8628), over HTTP."""

import base64
import json
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone
from oauth2_provider.models import Application, DeviceGrant

from tutorial.oauth.device import DeviceAuthorizationView

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def device(user: User) -> Application:
    return Application.objects.create(
        client_id="a-device", client_secret="", client_type="public", authorization_grant_type=DEVICE
    )


def begin(client: Client, **data: str) -> dict[str, Any]:
    response = client.post(
        "/o/device-authorization/",
        "&".join(f"{name}={value}" for name, value in ({"client_id": "a-device"} | data).items()),
        content_type="application/x-www-form-urlencoded",
    )
    return {"status": response.status_code, **json.loads(response.content)}


def poll(client: Client, code: str, **data: str) -> dict[str, Any]:
    response = client.post(
        "/o/token/", {"grant_type": DEVICE, "client_id": "a-device", "device_code": code} | data
    )
    return {"status": response.status_code, **response.json()}


def answer(browser: Client, user: User, uri: str, action: str) -> None:
    """Follow the address that the device shows, and agree or don't."""
    browser.force_login(user)
    url = urlsplit(uri)
    page = browser.get(f"{url.path}?{url.query}")
    confirm = browser.post(url.path, {"user_code": page.context["form"].initial["user_code"]})
    assert browser.get(confirm.headers["Location"]).status_code == 200
    done = browser.post(confirm.headers["Location"], {"action": action}, follow=True)
    assert done.status_code == 200


def test_device_gets_tokens_and_refreshes_them(client: Client, device: Application, user: User) -> None:
    metadata = client.get("/o/.well-known/oauth-authorization-server").json()
    assert metadata["device_authorization_endpoint"] == "http://testserver/o/device-authorization/"
    begun = begin(client, scope="read")
    assert begun["status"] == 200
    assert begun["verification_uri"] == "http://testserver/o/device/"
    assert poll(client, begun["device_code"]) == {"status": 400, "error": "authorization_pending"}

    answer(Client(), user, begun["verification_uri_complete"], "accept")
    tokens = poll(client, begun["device_code"])

    assert tokens["status"] == 200
    assert tokens["scope"] == "read"
    refreshed = client.post(
        "/o/token/",
        {"grant_type": "refresh_token", "client_id": "a-device", "refresh_token": tokens["refresh_token"]},
    )
    assert refreshed.status_code == 200
    bearer = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}
    assert client.get("/api/hello", headers=bearer).text == "Hello, OAuth2!"


def test_client_id_may_be_anything(client: Client, device: Application, user: User) -> None:
    Application.objects.update(client_id="com.example/tv app")
    begun = begin(client, client_id="com.example/tv%20app")

    answer(Client(), user, begun["verification_uri_complete"], "accept")

    assert poll(client, begun["device_code"], client_id="com.example/tv app")["status"] == 200


def test_user_may_deny(client: Client, device: Application, user: User) -> None:
    begun = begin(client)

    answer(Client(), user, begun["verification_uri_complete"], "deny")

    assert poll(client, begun["device_code"]) == {"status": 400, "error": "access_denied"}


def test_code_that_has_expired_is_refused(client: Client, device: Application, user: User) -> None:
    pending, agreed = begin(client), begin(client)
    answer(Client(), user, agreed["verification_uri_complete"], "accept")
    DeviceGrant.objects.update(expires=timezone.now())

    for begun in (pending, agreed):
        assert poll(client, begun["device_code"]) == {"status": 400, "error": "expired_token"}


def test_unknown_and_missing_codes_are_refused(client: Client, device: Application) -> None:
    assert poll(client, "unknown") == {"status": 400, "error": "invalid_grant"}
    missing = client.post("/o/token/", {"grant_type": DEVICE, "client_id": "a-device"})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


def test_device_cannot_ask_for_what_it_never_gets(client: Client, device: Application) -> None:
    assert begin(client, scope="read everything")["error"] == "invalid_scope"
    assert begin(client, client_id="nobody")["error"] == "invalid_request"
    Application.objects.update(authorization_grant_type="client-credentials")
    assert begin(client)["error"] == "unauthorized_client"


def test_client_id_in_the_query_is_none(client: Client, device: Application) -> None:
    response = client.post(
        "/o/device-authorization/?client_id=a-device", "x=y", content_type="application/x-www-form-urlencoded"
    )

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_answer_with_codes_is_stored_nowhere(client: Client, device: Application) -> None:
    response = client.post(
        "/o/device-authorization/", "client_id=a-device", content_type="application/x-www-form-urlencoded"
    )

    assert "no-store" in response.headers["Cache-Control"]


class Newer(DeviceAuthorizationView):
    """Answers as oauthlib 4 does."""

    def create_device_authorization_response(self, request: HttpRequest) -> tuple[dict[str, str], Any, int]:
        headers, response, status = super().create_device_authorization_response(request)
        return headers, {**response, "scope": ""}, status


def test_oauthlib_is_pinned_for_a_reason(device: Application, rf: RequestFactory) -> None:
    """If this fails, the toolkit takes what oauthlib 4 answers: remove the pin from requirements.in."""
    request = rf.post("/", "client_id=a-device", content_type="application/x-www-form-urlencoded")

    with pytest.raises(TypeError, match="unexpected keyword argument 'scope'"):
        Newer.as_view()(request)


def test_content_type_may_name_a_charset(client: Client, device: Application) -> None:
    form = "application/x-www-form-urlencoded; charset=UTF-8"

    assert client.post("/o/device-authorization/", "client_id=a-device", content_type=form).status_code == 200


@pytest.mark.parametrize(("secret", "status"), [("s3cret-" * 6, 200), ("another", 401)])
def test_client_with_a_secret_names_itself_by_it(
    client: Client, user: User, secret: str, status: int
) -> None:
    """RFC 8628 (section 3.1) wants client_id only of clients that don't authenticate themselves."""
    Application.objects.create(
        client_id="a-tv:1",
        client_secret="s3cret-" * 6,
        client_type="confidential",
        authorization_grant_type=DEVICE,
    )
    encoded = base64.b64encode(f"{quote('a-tv:1', safe='')}:{secret}".encode()).decode()
    header = {"Authorization": f"Basic {encoded}"}

    begun = client.post(
        "/o/device-authorization/",
        "scope=read",
        content_type="application/x-www-form-urlencoded",
        headers=header,
    )

    assert begun.status_code == status, begun.content
    if status == 200:
        answer(Client(), user, begun.json()["verification_uri_complete"], "accept")
        form = {"grant_type": DEVICE, "device_code": begun.json()["device_code"]}
        assert client.post("/o/token/", form, headers=header).status_code == 200
