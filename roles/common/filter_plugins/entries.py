"""Jinja filter that turns names into the entries that managed_files and managed_units take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def entries(values: Iterable[str], key: str, **rest: Any) -> list[dict[str, Any]]:
    """Return a mapping for each value, with the value under the key, and the rest as it is."""
    return [{key: value, **rest} for value in values]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"entries": entries}
