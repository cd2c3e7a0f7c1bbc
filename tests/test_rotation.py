"""Secrets that are rotated: the former value is kept beside the new one, until the end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from project import load_plugin
from test_modules import manage, mode

rotation = load_plugin("roles/common/filter_plugins/rotation.py")
SECRETS = {
    "broker": {"variable": "broker_password", "file": "broker.txt", "in": "broker_url"},
    "key": {"variable": "key", "file": "key.txt", "in": "key"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("broker", "first-password"), ("key", "first-key")):
        (tmp_path / f"{name}.txt").write_text(f"{text}\n")
        (tmp_path / f"{name}.txt").chmod(0o600)
    return tmp_path


def draw(folder: Path, *names: str, check: bool = False) -> list[str]:
    answer = manage(*rotation.drawn_secrets(names, SECRETS, str(folder)), check=check)
    assert "first" not in json.dumps(answer["diff"])
    changed: list[str] = answer["changed_paths"]
    return changed


def test_the_former_value_is_kept_until_the_next(folder: Path) -> None:
    key, former = folder / "key.txt", folder / "key.txt.former"
    # The former one first, so that an interruption loses nothing.
    assert draw(folder, "key", check=True) == [str(former), str(key)]
    assert (key.read_text(), former.exists()) == ("first-key\n", False)
    assert draw(folder, "key") == [str(former), str(key)]
    second = key.read_text()
    assert (former.read_text(), mode(former), mode(key)) == ("first-key\n", 0o600, 0o600)
    assert (len(second), second.strip().isalnum(), "first" in second) == (len("first-key\n"), True, False)
    draw(folder, "key")
    assert (former.read_text(), key.read_text() != second) == (second, True)
    assert (folder / "broker.txt").read_text() == "first-password\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
def test_the_former_one_belongs_to_whom_the_file_belongs(folder: Path) -> None:
    os.chown(folder / "key.txt", 65534, 65534)
    draw(folder, "key")
    assert {path.owner() for path in folder.glob("key.txt*")} == {"nobody"}


def test_what_an_interrupted_run_drew_is_known(folder: Path) -> None:
    assert rotation.secrets_unfinished(SECRETS, str(folder)) == []
    (folder / "key.txt.former").write_text("first-key")
    assert rotation.secrets_unfinished(SECRETS, str(folder)) == []
    draw(folder, "broker")
    assert rotation.secrets_unfinished(SECRETS, str(folder)) == ["broker"]
    present = (folder / "broker.txt").read_text().strip()
    pairs = rotation.secret_pairs(["broker"], SECRETS, str(folder))
    assert pairs == {"broker": {"former": "first-password", "present": present}}


def test_only_what_is_generated_and_used_is_rotated(folder: Path) -> None:
    values = {"broker_password": "first-password", "broker_url": "amqp://me:first-password@there", "key": "first-key"}
    assert rotation.secrets_in_use(SECRETS, str(folder), values) == ["broker", "key"]
    assert rotation.secrets_in_use(SECRETS, str(folder), values | {"broker_url": "amqp://me:given@there"}) == ["key"]
    assert rotation.secrets_in_use(SECRETS, str(folder), values | {"key": "given"}) == ["broker"]
    (folder / "broker.txt").unlink()
    assert rotation.secrets_in_use(SECRETS, str(folder), values) == ["key"]
