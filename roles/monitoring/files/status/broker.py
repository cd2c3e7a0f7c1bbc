"""What the broker on this host tells."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from commands import run

SECONDS = 12


def read_broker(vhost: str) -> dict[str, Any]:
    """Return whether the broker answers, its alarms, and the queues of the virtual host."""
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_ask, ["status"])
        queues = pool.submit(_ask, ["list_queues", "-p", vhost, "name", "messages", "consumers"]).result()
        status = asked.result()
    if not isinstance(status, dict):
        return {"answers": False, "alarms": [], "queues": []}
    return {
        "answers": True,
        "version": status["rabbitmq_version"],
        "alarms": sorted({alarm["resource"] for alarm in status["alarms"] if "resource" in alarm}),
        "memory": status["memory"]["total"]["rss"],
        "memory_limit": status["vm_memory_high_watermark_limit"],
        "disk_free": status["disk_free"],
        "disk_free_limit": status["disk_free_limit"],
        "queues": sorted(queues, key=lambda queue: str(queue["name"])) if isinstance(queues, list) else None,
    }


def _ask(arguments: list[str]) -> Any:
    command = ["rabbitmqctl", "--quiet", "--timeout", str(SECONDS), "--formatter", "json", *arguments]
    answer = run(command, SECONDS)
    try:
        return json.loads(answer.out) if answer.code == 0 else None
    except ValueError:
        return None
