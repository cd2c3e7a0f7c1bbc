"""What clients learn of the server before they begin (RFC 8414), and from whom answers come (RFC 9207)."""

from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from django.contrib.auth.models import User
from django.test import Client
from oauth2_provider.models import Application

from .test_oauth import CHALLENGE, REDIRECT_URI, VERIFIER, application

__all__ = ["application"]  # a fixture
pytestmark = pytest.mark.django_db
ISSUERS = ["https://id.example", "https://id.example/o"]


@pytest.fixture
def client() -> Client:
    return Client(headers={"Host": "id.example"})


@pytest.fixture(autouse=True)
def host(settings: object) -> None:
    settings.ALLOWED_HOSTS = ["id.example"]  # type: ignore[attr-defined]  # pytest-django's


def metadata_of(client: Client, issuer: str) -> dict[str, object]:
    """Do as a strict client does: put the well-known path before the issuer's own (section 3.1)."""
    url = urlsplit(issuer)
    path = f"/.well-known/oauth-authorization-server{url.path}"
    head = client.head(path, secure=True)
    assert (head.status_code, head.content) == (200, b"")
    response = client.get(path, secure=True)
    assert response.headers["Content-Type"] == "application/json"
    found: dict[str, object] = response.json()
    assert found["issuer"] == issuer
    return found


@pytest.mark.parametrize("issuer", ISSUERS)
def test_issuer_is_the_one_that_the_client_asked_for(client: Client, issuer: str) -> None:
    found = metadata_of(client, issuer)

    assert found["token_endpoint"] == f"{issuer}/token/"
    assert found["device_authorization_endpoint"] == "https://id.example/o/device-authorization/"
    assert found["response_types_supported"] == ["code"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert "none" in found["token_endpoint_auth_methods_supported"]  # type: ignore[operator]
    assert "none" not in found["introspection_endpoint_auth_methods_supported"]  # type: ignore[operator]
    assert not {"implicit", "password"} & set(found["grant_types_supported"])  # type: ignore[call-overload]
    AuthorizationServerMetadata(found).validate()
    endpoints = [str(url) for name, url in found.items() if name.endswith("_endpoint")]
    assert len(endpoints) == 5
    for url in endpoints:
        assert client.get(urlsplit(url).path, secure=True).status_code not in {404, 301}


@pytest.mark.parametrize("path", ["/x", "/o/x", "/"])
def test_there_is_no_other_issuer(client: Client, path: str) -> None:
    assert client.get(f"/.well-known/oauth-authorization-server{path}", secure=True).status_code == 404
    assert client.get(f"/o/.well-known/oauth-authorization-server{path}", secure=True).status_code == 404


def test_document_below_the_prefix_stays(client: Client) -> None:
    found = client.get("/o/.well-known/oauth-authorization-server", secure=True).json()

    assert found["issuer"] == "https://id.example/o"


def test_resource_names_its_server(client: Client) -> None:
    found = client.get("/.well-known/oauth-protected-resource/api/hello", secure=True).json()

    assert found["resource"] == "https://id.example/api/hello"
    assert found["authorization_servers"] == ["https://id.example/o"]


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("ending", ["allowed", "cancelled", "wrong scope", "no pkce", "not logged in"])
def test_every_answer_names_the_issuer(
    client: Client, application: Application, user: User, issuer: str, ending: str
) -> None:
    endpoint = urlsplit(str(metadata_of(client, issuer)["authorization_endpoint"])).path
    query = {"response_type": "code", "client_id": "an-id", "redirect_uri": REDIRECT_URI, "state": "s"}
    query |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    if ending == "wrong scope":
        query["scope"] = "everything"
    elif ending == "no pkce":
        del query["code_challenge"]
    elif ending == "not logged in":
        query["prompt"] = "none"
    if ending != "not logged in":
        client.force_login(user)

    response = client.get(endpoint, query, secure=True)
    if response.status_code == 200:
        form = {name: value for name, value in response.context["form"].initial.items() if value}
        form |= {"allow": "Authorize"} if ending == "allowed" else {}
        response = client.post(endpoint, form, secure=True)

    answer = parse_qs(urlsplit(response.headers["Location"]).query)
    assert answer["iss"] == [issuer]
    assert answer["state"] == ["s"]
    assert ("code" in answer) == (ending == "allowed")
    assert ("error" in answer) == (ending != "allowed")
    if ending == "allowed":
        data = {"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": REDIRECT_URI}
        data |= {"client_id": "an-id", "client_secret": "a client secret", "code_verifier": VERIFIER}
        assert client.post("/o/token/", data, secure=True).status_code == 200
