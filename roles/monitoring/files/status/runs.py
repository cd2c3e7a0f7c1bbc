"""What worker and beat have noted of the schedule's entries, in folders under /run that are theirs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

MOST_FILES, MOST_BYTES = 2000, 100_000
# What is taken over, if it is of the kind.
KINDS: dict[str, tuple[type, ...]] = {
    "entry": (str,),
    "task": (str,),
    "invocation": (str,),
    "sent": (int, float),
    "result": (str,),
    "error": (str,),
    "ended": (int, float),
    "seconds": (int, float),
    "succeeded": (int, float),
    "failures": (int,),
}


def read_runs(folder: str) -> list[dict[str, Any]]:
    """Return what the service has noted, an entry each; it may have put links and pipes there."""
    found = []
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for name in sorted(os.listdir(descriptor))[:MOST_FILES]:
                if name.endswith(".json"):
                    found.append(_read(name, descriptor))
        finally:
            os.close(descriptor)
    return [run for run in map(checked, found) if run]


def _read(name: str, folder: int) -> Any:
    with suppress(OSError, ValueError, RecursionError):
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with open(file, "rb") as stream:
            if stat.S_ISREG(os.fstat(file).st_mode):
                return json.loads(stream.read(MOST_BYTES))
    return None


def checked(run: Any) -> dict[str, Any] | None:
    """Return what is noted of an entry without what isn't as it should be."""
    if not isinstance(run, dict) or not isinstance(run.get("entry"), str):
        return None
    kept = {name: run[name] for name, kinds in KINDS.items() if isinstance(run.get(name), kinds)}
    running = run.get("running")
    since = running.get("since") if isinstance(running, dict) else None
    return kept | {"running": since if isinstance(since, int | float) else None}


def newest(runs: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the runs by entry; of what several workers have noted the one that ended last."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        known = found.setdefault(run["entry"], run)
        first, last = sorted((known, run), key=lambda one: one.get("ended") or 0)
        merged = first | last
        for moment in ("succeeded", "running"):
            merged[moment] = max(known.get(moment) or 0, run.get(moment) or 0) or None
        found[run["entry"]] = merged
    return found
