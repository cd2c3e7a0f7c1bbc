#!/usr/bin/python
"""Ansible module: read the few facts that the plays use."""

from __future__ import annotations

import fcntl
import platform
import re
import sys
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_facts
short_description: Read the few facts that the plays use
description:
  - Names and values are those of M(ansible.builtin.setup), which costs several times as much; what has no such
    name tells of an upgrade of Debian that has not come to its end.
  - Waits up to five minutes for another dpkg at work, whose packages are half-way for a while.
author: the maintainers of this project
"""

RETURN = r"""
ansible_facts:
  description:
    - C(distribution), C(distribution_major_version), C(service_mgr), C(python), C(all_ipv4_addresses),
      C(installed_packages) (names).
    - C(unfinished_packages), names of those that dpkg has not finished, and C(apt_suites), the suites that APT's
      sources name.
    - C(old_broker_data), names of RabbitMQ nodes whose data are too old for RabbitMQ 4 (only root can read them).
  returned: always
  type: dict
"""


# What dpkg calls a package that it isn't done with.
UNFINISHED = {"half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"}


def read_packages(module: AnsibleModule) -> tuple[list[str], list[str]]:
    """Return the names of the installed packages and of the unfinished ones."""
    _, out, _ = module.run_command(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"])
    states = [line.split() for line in out.splitlines()]
    return (
        [name for state, name in states if state == "installed"],
        [name for state, name in states if state in UNFINISHED],
    )


def dpkg_is_at_work() -> bool:
    """Return whether a process holds dpkg's lock; only root can know."""
    try:
        with open("/var/lib/dpkg/lock", "r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError:
        return False
    except BlockingIOError:
        return True
    return False


def read_suites(folder: Path) -> list[str]:
    """Return the suites that APT's sources name, in both of their formats."""
    suites: set[str] = set()
    for path in [folder / "sources.list", *folder.glob("sources.list.d/*.list")]:
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace")
            suites.update(re.findall(r"(?m)^[ \t]*deb(?:-src)?[ \t]+(?:\[[^]]*\][ \t]+)?\S+[ \t]+(\S+)", lines))
    for path in folder.glob("sources.list.d/*.sources"):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8", errors="replace")):
            if not re.search(r"(?im)^Enabled:[ \t]*(no|false|without|off|disable)\b", stanza):
                for names in re.findall(r"(?im)^Suites:((?:.*)(?:\n[ \t].*)*)", stanza):
                    suites.update(names.split())
    return sorted(suites)


def old_broker_data(folder: Path) -> list[str]:
    """Return the RabbitMQ nodes whose data lack a feature flag of 3.11, without which 4.0 doesn't boot."""
    suffix = "-feature_flags"
    try:
        return [
            path.name.removesuffix(suffix)
            for path in sorted(folder.glob(f"*{suffix}"))
            if "feature_flags_v2" not in path.read_text(encoding="utf-8")
        ]
    except PermissionError:
        return []


def read_addresses(table: Path) -> list[str]:
    """Return the IPv4 addresses of the host beside the loopback ones, by the kernel's table of routes."""
    addresses = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", table.read_text(encoding="utf-8"))
    return sorted({address for address in addresses if not address.startswith("127.")})


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    installed: list[str] = []
    unfinished: list[str] = []
    if module.get_bin_path("dpkg-query"):
        installed, unfinished = read_packages(module)
        deadline = time.monotonic() + 300
        while unfinished and dpkg_is_at_work() and time.monotonic() < deadline:
            time.sleep(2)
            installed, unfinished = read_packages(module)
    module.exit_json(
        changed=False,
        ansible_facts={
            "distribution": {"debian": "Debian"}.get(release.get("ID", ""), release.get("NAME", "an unknown system")),
            "distribution_major_version": release.get("VERSION_ID", "").split(".")[0],
            "service_mgr": Path("/proc/1/comm").read_text(encoding="utf-8").strip(),
            "python": {"version": {"major": sys.version_info.major, "minor": sys.version_info.minor}},
            "all_ipv4_addresses": read_addresses(Path("/proc/net/fib_trie")),
            "installed_packages": installed,
            "unfinished_packages": unfinished,
            "apt_suites": read_suites(Path("/etc/apt")),
            "old_broker_data": old_broker_data(Path("/var/lib/rabbitmq/mnesia")),
        },
    )


if __name__ == "__main__":
    main()
