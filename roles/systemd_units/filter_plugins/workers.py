"""Jinja filters for the list of workers on a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

KEYS = ("name", "queues", "concurrency")
# Of other services.
TAKEN = ("web", "beat")
# What neither a unit's line nor a list with commas could hold.
QUEUE = re.compile(r"[^\s,%\"'$\\]{1,255}")


def worker_problems(workers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for the first entry that is no worker."""
    seen: set[str] = set()
    if not list(workers):
        return [
            "systemd_units_workers is empty; remove it to have one worker, or take the host out of the group worker."
        ]
    for worker in workers:
        name = worker.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name in TAKEN:
            return [
                "In systemd_units_workers each worker needs a name of small letters, digits and dashes, other than web "
                "and beat, because it names a unit."
            ]
        wrong = sorted(set(map(str, worker)) - set(KEYS))
        if wrong:
            return [f"In systemd_units_workers {name} has {', '.join(wrong)}; only {', '.join(KEYS)} are known."]
        if name in seen:
            return [f"systemd_units_workers has {name} twice; give each worker a name of its own."]
        seen.add(name)
        queues = worker.get("queues", [])
        if not isinstance(queues, list) or not all(isinstance(one, str) and QUEUE.fullmatch(one) for one in queues):
            return [f"In systemd_units_workers the queues of {name} must be a list of names without blanks and commas."]
        if not re.fullmatch(r"[1-9]\d{0,2}|1000", str(worker.get("concurrency", 1))):
            return [f"In systemd_units_workers the concurrency of {name} must be a whole number from 1 to 1000."]
    return []


def worker_files(workers: Iterable[Mapping[str, Any]], folder: str, app: str, concurrency: Any) -> list[dict[str, Any]]:
    """Return the unit files of the workers, as managed_files takes them."""
    return [
        {
            "path": f"{folder}/{app}-{worker['name']}.service",
            "template": "worker.service.j2",
            "mode": "0644",
            "vars": {
                "worker": {
                    "name": worker["name"],
                    "queues": list(worker.get("queues", [])),
                    "concurrency": int(worker.get("concurrency", concurrency)),
                }
            },
        }
        for worker in workers
    ]


def worker_notes(units: Iterable[str]) -> list[dict[str, str]]:
    """Return where the workers of the units note the runs, for what looks for them."""
    return [{"unit": unit, "folder": f"/run/{unit.removesuffix('.service')}"} for unit in units]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"worker_files": worker_files, "worker_notes": worker_notes, "worker_problems": worker_problems}
