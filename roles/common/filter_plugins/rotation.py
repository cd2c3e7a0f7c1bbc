"""Jinja filters for secrets that are rotated: which are in use, which a run began with, what is drawn.

`secrets` maps each name to `variable` (which holds it), `file` (in the folder of credentials) and `in` (the variable in
whose text it stands where it is used). Beside the file, `.former` has the value before, until the end of a rotation.
"""

from __future__ import annotations

import contextlib
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from secrets import choice
from typing import Any

Secrets = Mapping[str, Mapping[str, str]]
LETTERS = string.ascii_letters + string.digits


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""


def _both(secret: Mapping[str, str], folder: str) -> tuple[Path, Path]:
    path = Path(folder, secret["file"])
    return path.with_name(f"{path.name}.former"), path


def secrets_in_use(secrets: Secrets, folder: str, values: Mapping[str, str]) -> list[str]:
    """Return the names of those that are taken from their generated files, and used; `values` are of variables."""
    found = []
    for name, secret in secrets.items():
        value = _read(_both(secret, folder)[1])
        if value and values[secret["variable"]] == value and value in values[secret["in"]]:
            found.append(name)
    return found


def secrets_unfinished(secrets: Secrets, folder: str) -> list[str]:
    """Return the names of those that an interrupted run has drawn: the old value is there, and it is another one."""
    both = {name: _both(secret, folder) for name, secret in secrets.items()}
    return [name for name, (former, path) in both.items() if former.is_file() and _read(former) != _read(path)]


def drawn_secrets(names: Iterable[str], secrets: Secrets, folder: str) -> list[dict[str, str]]:
    """Return what managed_files has to write: a new value of the same length for each, the old one before it."""
    entries: list[dict[str, str]] = []
    for name in names:
        former, path = _both(secrets[name], folder)
        owner = {}
        with contextlib.suppress(KeyError):  # of a user without a name
            owner = {"owner": path.owner(), "group": path.group()}
        new = "".join(choice(LETTERS) for _ in _read(path))
        entries.append(
            {"path": str(former), "secret_content": path.read_text(encoding="utf-8"), "mode": "0600", **owner}
        )
        entries.append({"path": str(path), "secret_content": f"{new}\n", "mode": "0600"})
    return entries


def secret_pairs(names: Iterable[str], secrets: Secrets, folder: str) -> dict[str, dict[str, str]]:
    """Return the old and the present value of each, for the proof."""
    pairs = {}
    for name in names:
        former, path = _both(secrets[name], folder)
        pairs[name] = {"former": _read(former), "present": _read(path)}
    return pairs


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "drawn_secrets": drawn_secrets,
            "secret_pairs": secret_pairs,
            "secrets_in_use": secrets_in_use,
            "secrets_unfinished": secrets_unfinished,
        }
