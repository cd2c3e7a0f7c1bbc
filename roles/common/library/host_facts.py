#!/usr/bin/python
"""Ansible module: read the few facts that the plays use."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_facts
short_description: Read the few facts that the plays use
description:
  - Names and values are those of M(ansible.builtin.setup), which costs several times as much.
author: the maintainers of this project
"""

RETURN = r"""
ansible_facts:
  description: C(distribution), C(distribution_major_version), C(service_mgr), C(python), C(installed_packages) (names).
  returned: always
  type: dict
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    packages: list[str] = []
    if module.get_bin_path("dpkg-query"):
        _, out, _ = module.run_command(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        packages = [line.split()[1] for line in out.splitlines() if line.startswith("installed ")]
    module.exit_json(
        changed=False,
        ansible_facts={
            "distribution": {"debian": "Debian"}.get(release.get("ID", ""), release.get("NAME", "an unknown system")),
            "distribution_major_version": release.get("VERSION_ID", "").split(".")[0],
            "service_mgr": Path("/proc/1/comm").read_text(encoding="utf-8").strip(),
            "python": {"version": {"major": sys.version_info.major, "minor": sys.version_info.minor}},
            "installed_packages": packages,
        },
    )


if __name__ == "__main__":
    main()
