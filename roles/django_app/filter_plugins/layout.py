"""Jinja filters that look at a project's folders before any host is touched."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


def missing_folders(names: Iterable[str], source: str) -> list[str]:
    """Return the names that are no folders in the source; absolute ones are the host's."""
    top = os.path.realpath(source)
    return [name for name in names if _is_odd(name) or not (os.path.isabs(name) or _is_in(name, top))]


def _is_odd(name: str) -> bool:
    # Neither PYTHONPATH nor a unit's line could hold it.
    return any(char.isspace() or char in ':"%' for char in name)


def _is_in(name: str, top: str) -> bool:
    path = os.path.normpath(os.path.join(top, name))
    return os.path.isdir(path) and os.path.commonpath([path, top]) == top


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"missing_folders": missing_folders}
