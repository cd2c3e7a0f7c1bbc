"""Each installation has generated secrets of its own, and those of before stay where they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from project import load_plugin

plugin = load_plugin("roles/common/lookup_plugins/credentials_folder.py")
SECRET = "credentials/rabbitmq_password.txt"


def folder(place: Path, file: str = "hosts.yml", name: str = "", names: tuple[str, ...] = (), source: str = "") -> Any:
    """Return the folder as a run with that inventory has it, relative to the inventory, and write a secret there."""
    (place / file).touch()
    sources = [place / (source or file)]
    found = plugin.credentials_folder(place, place / file, sources, name, {name, *names})
    found.mkdir(parents=True, exist_ok=True)
    (found / "rabbitmq_password.txt").touch()
    return str(found.relative_to(place))


def test_one_installation_needs_no_name(tmp_path: Path) -> None:
    assert [folder(tmp_path), folder(tmp_path)] == ["credentials"] * 2
    assert (tmp_path / "credentials/.installation").stat().st_mode & 0o777 == 0o600


def test_installations_of_one_inventory_share_nothing(tmp_path: Path) -> None:
    assert folder(tmp_path, name="red", names=("blue",)) == "credentials/red"
    assert folder(tmp_path, name="blue", names=("red",)) == "credentials/blue"
    assert folder(tmp_path, name="red", names=("blue",)) == "credentials/red"


def test_the_one_without_a_name_and_a_named_one_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / SECRET).touch()
    assert folder(tmp_path, name="blue", names=("",)) == "credentials/blue"
    assert folder(tmp_path) == "credentials"


def test_secrets_of_before_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / SECRET).touch()
    assert folder(tmp_path, name="red") == "credentials"
    # A second installation comes later.
    assert folder(tmp_path, name="blue", names=("red",)) == "credentials/blue"
    assert folder(tmp_path, name="red", names=("blue",)) == "credentials"


def test_nobody_guesses_whose_shared_secrets_are(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / SECRET).touch()
    with pytest.raises(ValueError, match=r"holds secrets that the installations blue, red would share; copy them to "):
        folder(tmp_path, name="red", names=("blue",))


def test_staging_beside_production_needs_a_name(tmp_path: Path) -> None:
    assert folder(tmp_path, "production.yml") == "credentials"
    with pytest.raises(
        ValueError, match=r"holds the secrets of production\.yml; set the variable installation to a na"
    ):
        folder(tmp_path, "staging.yml")
    assert folder(tmp_path, "staging.yml", name="staging") == "credentials/staging"
    assert folder(tmp_path, "production.yml") == "credentials"


def test_another_way_to_the_same_inventory_is_the_same(tmp_path: Path) -> None:
    assert folder(tmp_path, "one.yml", source=".") == "credentials"
    assert folder(tmp_path, "two.yml", source=".") == "credentials"


def test_a_renamed_inventory_keeps_its_secrets(tmp_path: Path) -> None:
    assert folder(tmp_path, "old.yml") == "credentials"
    (tmp_path / "old.yml").unlink()
    assert folder(tmp_path, "new.yml") == "credentials"
    assert json.loads((tmp_path / "credentials/.installation").read_text())["file"] == "new.yml"
