"""Ansible lookup: tell who runs this playbook, and which other runs are alive on this controller."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: deployer
short_description: Tell who runs this playbook, and which other runs are alive on this controller
description:
  - For the module C(generation), by which a host is reserved for one run.
options:
  _terms:
    description: Nothing.
author: the maintainers of this project
"""

RETURN = r"""
_raw:
  description:
    - A mapping with C(name), C(controller), C(process) and C(alive), the processes of Ansible on this controller.
  type: list
  elements: dict
"""

PROC = Path("/proc")


def started(process: str) -> str:
    """Return the process and when it started, which no other process ever has."""
    stat = (PROC / process / "stat").read_text(encoding="utf-8")
    return f"{process}:{stat.rpartition(')')[2].split()[19]}"


def alive() -> list[str]:
    """Return the processes of Ansible on this machine."""
    found = []
    for path in PROC.glob("[0-9]*"):
        try:
            if b"ansible" in (path / "cmdline").read_bytes():
                found.append(started(path.name))
        except OSError:
            continue
    return sorted(found)


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return who runs this playbook."""
        # A worker asks; the run is its parent.
        parent = str(os.getppid())
        process = started(parent) if (PROC / parent / "stat").exists() else parent
        name = f"{getpass.getuser()}@{socket.gethostname()}"
        boot = PROC / "sys/kernel/random/boot_id"
        # Containers of one name on one machine don't see each other's processes.
        space = PROC / "self/ns/pid"
        controller = f"{name} {boot.read_text(encoding='utf-8') if boot.exists() else ''}"
        controller += os.readlink(space) if space.is_symlink() else ""
        return [
            {
                "name": name,
                "controller": hashlib.sha256(controller.encode()).hexdigest(),
                "process": process,
                "alive": alive(),
            }
        ]
