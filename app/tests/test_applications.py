"""Applications that the inventory lists: created, changed and removed, and edits in the Admin survive."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from oauth2_provider.models import Application

from .conftest import APP
from .test_oauth import REDIRECT_URI

pytestmark = pytest.mark.django_db
SCRIPT = Path(APP.parent, "roles/django_app/files/load_applications.py")
SECRET = "0123456789abcdef0123456789abcdef"
SHOP: dict[str, Any] = {
    "client_id": "shop",
    "name": "Shop",
    "client_type": "confidential",
    "authorization_grant_type": "authorization-code",
    "redirect_uris": [REDIRECT_URI],
    "client_secret": SECRET,
}


class Loader:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(
        self, *applications: dict[str, Any], check: bool = False, wins: bool = False
    ) -> dict[str, Any]:
        given = json.dumps({"check": check, "wins": wins, "applications": applications})
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        exec(compile(SCRIPT.read_text(), SCRIPT, "exec"), {})  # noqa: S102  # as `manage.py shell --command` does
        printed = self.capsys.readouterr().out
        assert SECRET not in printed
        return dict(json.loads(printed))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Loader:
    return Loader(monkeypatch, capsys)


def answer(**parts: object) -> dict[str, Any]:
    return {"changed": True, "created": [], "updated": {}, "kept": {}, "removed": []} | parts


def test_application_is_created_once(load: Loader, client: Client) -> None:
    service = SHOP | {"authorization_grant_type": "client-credentials", "redirect_uris": []}
    assert load(service, check=True) == answer(created=["shop"])
    assert not Application.objects.exists()
    assert load(service) == answer(created=["shop"])
    assert load(service) == answer(changed=False)
    assert load(service, wins=True) == answer(changed=False)

    data = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": SECRET}
    assert client.post("/o/token/", data).status_code == 200
    assert SECRET not in Application.objects.get().client_secret


def test_edits_survive_unless_the_list_wins(load: Loader) -> None:
    load(SHOP)
    Application.objects.update(name="edited", skip_authorization=True)
    changed = SHOP | {"client_secret": "another" + SECRET}

    assert load(changed) == answer(changed=False, kept={"shop": ["client_secret", "name"]})
    assert load(changed, wins=True, check=True) == answer(updated={"shop": ["client_secret", "name"]})
    assert Application.objects.get().name == "edited"
    assert load(changed, wins=True) == answer(updated={"shop": ["client_secret", "name"]})
    row = Application.objects.get()
    # The list says nothing of the second.
    assert (row.name, row.skip_authorization) == ("Shop", True)
    assert load(changed, wins=True) == answer(changed=False)


def test_application_is_removed_when_told_so(load: Loader) -> None:
    absent = {"client_id": "shop", "state": "absent"}
    load(SHOP, SHOP | {"client_id": "other"})

    assert load(absent, check=True) == answer(removed=["shop"])
    assert load(absent) == answer(removed=["shop"])
    assert load(absent) == answer(changed=False)
    assert Application.objects.get().client_id == "other"


def test_public_application_and_device(load: Loader) -> None:
    tv = {
        "client_id": "tv",
        "client_type": "public",
        "authorization_grant_type": "device-code",
        "client_secret": "",
    }

    assert load(tv) == answer(created=["tv"])
    assert load(tv, wins=True) == answer(changed=False)
    assert Application.objects.get().authorization_grant_type == Application.GRANT_DEVICE_CODE


def test_what_the_project_refuses_changes_nothing(load: Loader) -> None:
    wrong = SHOP | {"client_id": "wrong", "redirect_uris": ["http://evil.example/"]}

    with pytest.raises(
        SystemExit, match="The application wrong in django_app_oauth_applications is refused: red"
    ):
        load(SHOP, wrong)
    assert not Application.objects.exists()
