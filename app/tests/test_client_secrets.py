"""Client secrets: stored fast, refused when weak, and the old ones still work."""

import base64
from io import StringIO

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from oauth2_provider.generators import generate_client_secret
from oauth2_provider.models import Application

from tutorial.client_secrets import validate_client_secret

WEAK = "correct-horse"


def machine(secret: str) -> Application:
    return Application.objects.create(
        client_id="an-id",
        client_secret=secret,
        client_type="confidential",
        authorization_grant_type="client-credentials",
        redirect_uris="https://client.example/",
    )


def ask(client: Client, secret: str) -> int:
    basic = base64.b64encode(f"an-id:{secret}".encode()).decode()
    return client.post(
        "/o/token/", {"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
    ).status_code


@pytest.mark.django_db
def test_new_secret_is_salted_and_hashed_once_and_opens(client: Client) -> None:
    secret = generate_client_secret()
    stored = [machine(secret).client_secret, make_password(secret, hasher="client_secret_sha256")]

    for hashed in stored:
        assert hashed.startswith("client_secret_sha256$1$")
        assert secret not in hashed
    assert stored[0] != stored[1]
    assert ask(client, secret) == 200
    assert ask(client, secret[:-1]) == 401


@pytest.mark.django_db
@pytest.mark.parametrize("hasher", ["pbkdf2_sha256", "scrypt"])
def test_secret_stored_slowly_still_opens(client: Client, hasher: str) -> None:
    secret = generate_client_secret()
    application = machine(make_password(secret, hasher=hasher))

    assert application.client_secret.startswith(hasher)
    assert ask(client, secret) == 200
    assert ask(client, "wrong") == 401


@pytest.mark.parametrize("secret", [WEAK, "correct horse battery staple and so on", "abc" * 30, "x" * 200])
def test_made_up_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError):
        validate_client_secret(secret)


def test_random_secret_is_accepted() -> None:
    validate_client_secret("0123456789abcdef0123456789abcdef")


HASHES = ["argon2$a", "client_secret_sha256$1$a$a", "bcrypt$" + "x" * 60, "0" * 32, make_password(WEAK)]


@pytest.mark.django_db
@pytest.mark.parametrize("secret", HASHES)
@pytest.mark.parametrize("page", ["admin:oauth2_provider_application_add", "oauth2_provider:register"])
def test_what_looks_like_a_hash_is_no_secret(client: Client, user: User, page: str, secret: str) -> None:
    client.force_login(user)

    assert "A client secret must" in client.post(reverse(page), CLIENT | {"client_secret": secret}).text
    assert "A client secret must" in creation(secret)
    assert not Application.objects.exists()


def test_generated_secret_is_accepted() -> None:
    for _ in range(100):
        validate_client_secret(generate_client_secret())


CLIENT = {
    "name": "a client",
    "client_id": "an-id",
    "client_type": "confidential",
    "authorization_grant_type": "authorization-code",
    "redirect_uris": "https://client.example/",
    "registration_source": "manual",
}


def creation(secret: str) -> str:
    output = StringIO()
    call_command(
        "createapplication", "confidential", "client-credentials", client_secret=secret, stdout=output
    )
    return output.getvalue()


@pytest.mark.django_db
def test_command_line_refuses_a_weak_secret() -> None:
    assert "A client secret must be random" in creation(WEAK)
    assert not Application.objects.exists()

    creation(generate_client_secret())
    assert Application.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["admin:oauth2_provider_application_add", "oauth2_provider:register"])
def test_pages_refuse_a_weak_secret(client: Client, user: User, page: str) -> None:
    client.force_login(user)

    refused = client.post(reverse(page), CLIENT | {"client_secret": WEAK})
    assert "A client secret must be random" in refused.text
    assert not Application.objects.exists()

    client.post(reverse(page), CLIENT | {"client_secret": generate_client_secret()})
    assert Application.objects.exists()


@pytest.mark.django_db
def test_stored_application_can_be_edited_in_the_admin(client: Client, user: User) -> None:
    application = machine(make_password(generate_client_secret(), hasher="pbkdf2_sha256"))
    client.force_login(user)
    page = reverse("admin:oauth2_provider_application_change", args=[application.pk])
    initial = client.get(page).context["adminform"].form.initial

    client.post(page, {name: value for name, value in initial.items() if value} | {"name": "new"})

    assert Application.objects.get().name == "new"
    assert Application.objects.get().client_secret == application.client_secret


@pytest.mark.django_db
def test_command_lists_what_is_not_stored_as_new_secrets_are() -> None:
    for name, secret in {
        "new": generate_client_secret(),
        "old": make_password(generate_client_secret(), hasher="pbkdf2_sha256"),
        "public": "",
    }.items():
        Application.objects.create(name=name, client_id=name, client_secret=secret)
    Application.objects.create(name="plain", client_id="plain", client_secret=WEAK, hash_client_secret=False)
    output = StringIO()

    call_command("list_slow_client_secrets", stdout=output)

    assert output.getvalue() == "old\tpbkdf2_sha256\told\nplain\tplain text\tplain\n"
