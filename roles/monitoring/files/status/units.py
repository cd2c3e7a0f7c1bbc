"""What systemd knows of the units."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from commands import run

PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,ActiveEnterTimestamp,NRestarts,StatusText,WatchdogTimestamp,ControlGroup"
    ",InvocationID"
)


def read_units(names: list[str]) -> list[dict[str, Any]]:
    """Return the units in the order given; an empty list if systemd doesn't answer."""
    answer = run(["systemctl", "--timestamp=unix", f"--property={PROPERTIES}", "show", *names], 5)
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in answer.out.strip().split("\n\n")]
    return [_unit(block) for block in blocks if "Id" in block]


def _unit(said: dict[str, str]) -> dict[str, Any]:
    return {
        "name": said["Id"],
        "installed": said["LoadState"] == "loaded",
        "state": said["ActiveState"],
        "detail": said.get("SubState", ""),
        "result": said.get("Result", ""),
        "since": _moment(said.get("ActiveEnterTimestamp", "")) if said["ActiveState"] == "active" else None,
        "restarts": int(said["NRestarts"]) if said.get("NRestarts", "").isdigit() else None,
        "says": said.get("StatusText", ""),
        "invocation": said.get("InvocationID", ""),
        "fed_watchdog": _moment(said.get("WatchdogTimestamp", "")),
        "memory": _memory(said.get("ControlGroup", "")),
    }


def _moment(text: str) -> int | None:
    return int(text.removeprefix("@")) if text.removeprefix("@").isdigit() else None


def _memory(group: str) -> int | None:
    """Return the bytes of the unit's processes, with what they share counted once; the kernel may have no figure."""
    if not group:
        return None
    total = 0
    for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        for processes in Path(base + group).glob("**/cgroup.procs"):
            for process in processes.read_text().split():
                with suppress(OSError, ValueError, IndexError):
                    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
                    total += int(rollup.split("\nPss:")[1].split()[0]) * 1024
    return total or None


def read_exposures() -> dict[str, float]:
    """Return systemd's figure from 0 (safe) to 10 for each service; all in one call, which takes as long as two."""
    answer = run(["systemd-analyze", "security", "--no-pager", "--json=short"], 5)
    with suppress(ValueError, KeyError, TypeError):
        return {row["unit"]: float(row["exposure"]) for row in json.loads(answer.out)}
    return {}
