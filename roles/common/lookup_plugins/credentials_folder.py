"""Ansible lookup: where the generated secrets of a host's installation are, on the controller."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: credentials_folder
short_description: Where the generated secrets of an installation are
description:
  - C(credentials/) beside the inventory, or C(credentials/NAME/) where the variable C(installation) has the value NAME.
  - Secrets that an installation has in C(credentials/) already stay there, whatever its name. A file C(.installation)
    says whose they are, so that nobody else gets them.
options:
  check:
    description: Whether to return a list of sentences that say why there is none, in place of failing.
    type: bool
    default: false
author: the maintainers of this project
"""

RETURN = r"""
_raw:
  description: The path of the folder, which need not exist yet.
  type: list
  elements: path
"""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def credentials_folder(inventory: Path, file: Path, sources: list[Path], name: str, names: set[str]) -> Path:
    """Return the folder of the installation `name`, one of `names`, whose host is defined in `file` of `inventory`.

    Raises:
        ValueError: the folder belongs to another installation; the message is a sentence that says what to set.
    """
    shared = inventory / "credentials"
    own = shared / name
    note = shared / ".installation"
    owner = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    used = shared.is_dir() and any(shared.glob("*.txt"))
    if name and (own.is_dir() or not used or "" in names or owner.get("installation", name) != name):
        return own
    if name and not owner and len(names) > 1:
        raise ValueError(
            f"{shared} holds secrets that the installations {', '.join(sorted(names))} would share; copy them to "
            f"{shared}/NAME for each installation NAME that uses them, and remove them from {shared}."
        )
    theirs = inventory / owner.get("file", file.name)
    if theirs.exists() and not any(theirs == source or source in theirs.parents for source in [*sources, file]):
        raise ValueError(
            f"{shared} holds the secrets of {theirs.name}; set the variable installation to a name of its own for all "
            f"hosts of {file.name}."
        )
    note_now = {"file": file.name, "installation": name}
    if owner != note_now and not (owner and theirs.exists()):
        shared.mkdir(mode=0o700, exist_ok=True)
        # Hosts are handled in parallel.
        temporary = note.with_name(f".installation.{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(note_now), encoding="utf-8")
        temporary.replace(note)
    return shared


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[str]:
        """Return the folder, or with check=true why there is none."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            folder = self._folder(variables)
        except ValueError as error:
            if self.get_option("check"):
                return [str(error)]
            raise AnsibleLookupError(str(error)) from error
        return [] if self.get_option("check") else [str(folder)]

    def _folder(self, variables: Any) -> Path:
        if not variables.get("inventory_dir"):
            raise ValueError("Secrets are generated beside the inventory, so name a file or a folder with --inventory.")
        hosts = variables["hostvars"]
        # By way of hostvars, where templates are done.
        name = str(hosts[variables["inventory_hostname"]].get("installation") or "")
        if name and not NAME.fullmatch(name):
            raise ValueError("installation must be made of letters, digits, dots, dashes and underscores.")
        ours = [host for group in ("app", "broker", "database") for host in variables["groups"].get(group, [])]
        names = {str(hosts[host].get("installation") or "") for host in ours} if name else set()
        inventory = Path(variables["inventory_dir"])
        file = Path(variables.get("inventory_file") or inventory / "hosts")
        sources = [Path(source) for source in variables.get("ansible_inventory_sources") or []]
        return credentials_folder(inventory, file, sources, name, names)
