"""Jinja filter that tells which hosts of the inventory are one installation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def of_installation(hosts: Iterable[str], name: str, hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts, in their order, whose variable `installation` has this value; none counts as the empty one."""
    return [host for host in hosts if (hostvars[host].get("installation") or "") == name]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"of_installation": of_installation}
