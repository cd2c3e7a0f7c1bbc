"""What one of three databases tells of all."""

from __future__ import annotations

import json
from typing import Any

from commands import run


def read_databases(members: list[str], seconds: float) -> dict[str, Any]:
    """Return who is the primary, who copies it and how far behind, and who is away; what isn't known is None."""
    answer = run(["patronictl", "--config-file=/etc/patroni/config.yml", "list", "--format=json"], seconds)
    try:
        rows = json.loads(answer.out) if answer.code == 0 else None
    except ValueError:
        rows = None
    found: dict[str, Any] = {"primary": None, "members": None, "away": None, "copies": None}
    if rows is None:
        return found
    at_work = [row for row in rows if row["State"] in ("running", "streaming")]
    found["primary"] = next((row["Host"] for row in at_work if row["Role"] == "Leader"), None)
    found["members"] = [
        {"address": row["Host"], "role": row["Role"], "state": row["State"], "behind_mb": row.get("Lag in MB")}
        for row in sorted(rows, key=lambda row: str(row["Host"]))
    ]
    found["away"] = sorted({*members} - {row["Host"] for row in at_work})
    found["copies"] = sum(row["Role"] in ("Sync Standby", "Quorum Standby") for row in at_work)
    return found
