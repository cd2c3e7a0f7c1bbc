"""Users' passwords: stored by Argon2id, and older hashes replaced when their users log in."""

import pytest
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings as DjangoSettings

from .conftest import Settings

STORED = "argon2$argon2id$v=19$m=12288,t=3,p=1$"


@pytest.fixture(autouse=True)
def hashers(settings: DjangoSettings, settings_with: Settings) -> None:
    settings.PASSWORD_HASHERS = settings_with()["PASSWORD_HASHERS"]


def test_new_password() -> None:
    stored = make_password("correct horse")

    assert stored.startswith(STORED)
    assert check_password("correct horse", stored)
    assert not check_password("wrong horse", stored)


@pytest.mark.django_db
@pytest.mark.parametrize("hasher", ["pbkdf2_sha256", "scrypt", "argon2 of before"])
def test_older_hash_is_replaced_at_log_in(client: Client, hasher: str) -> None:
    password = {
        # Django's own parameters.
        "argon2 of before": "argon2$argon2id$v=19$m=102400,t=2,p=8$7aoqBeX1eExSWsnR3p8G5A"
        "$3gIuWtWr2RZNf0bKGmzewYfm/guKCuJazdfk4kjV2yM"
    }.get(hasher) or make_password("correct horse", hasher=hasher)
    User.objects.create(username="someone", password=password)

    wrong = client.post("/accounts/login/", {"username": "someone", "password": "wrong horse"})
    assert (wrong.status_code, User.objects.get().password) == (200, password)
    right = client.post("/accounts/login/", {"username": "someone", "password": "correct horse"})
    assert right.status_code == 302
    assert User.objects.get().password.startswith(STORED)
