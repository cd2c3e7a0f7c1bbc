"""What the broker on this host tells."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from commands import run

# Where role rabbitmq notes that it stopped a member of a cluster because of its disk.
NOTED = Path("/run/rabbitmq-disk-space/stopped")

# A part of the time that is kept for the simplest of all questions.
LAST_SECONDS = 4


def read_broker(broker: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return whether the broker answers, its alarms, and the queues of the virtual host; what isn't known is None."""
    patience = seconds - LAST_SECONDS
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_ask, ["status"], patience)
        list_queues = ["list_queues", "-p", broker["vhost"], "name", "messages", "consumers"]
        # Where the copies of a queue are, only a cluster tells.
        list_queues += ["type", "leader", "members", "online"] if broker["members"] else []
        queues = pool.submit(_ask, list_queues, patience).result()
        status = asked.result()
        members = _ask(["cluster_status"], patience) if broker["members"] and isinstance(status, dict) else None
    if not isinstance(status, dict):
        # On a slow host rabbitmqctl alone may take longer: it starts an Erlang machine of its own.
        answers = says_hello(broker["address"], broker["port"])
        unknown = {"tools": False, "alarms": None, "queues": None, "cluster": None}
        return {"answers": answers, "disk_full": NOTED.exists(), **unknown}
    return {
        "answers": True,
        "tools": True,
        "version": status["rabbitmq_version"],
        "alarms": sorted({alarm["resource"] for alarm in status["alarms"] if "resource" in alarm}),
        "memory": status["memory"]["total"]["rss"],
        "memory_limit": status["vm_memory_high_watermark_limit"],
        "disk_free": status["disk_free"],
        "disk_free_limit": status["disk_free_limit"],
        "queues": sorted(queues, key=lambda queue: str(queue["name"])) if isinstance(queues, list) else None,
        "cluster": read_cluster(broker["members"], members) if isinstance(members, dict) else None,
    }


def read_cluster(addresses: list[str], status: dict[str, Any]) -> dict[str, Any]:
    """Return the addresses of the members that work, of those that are away, and of those that don't belong."""
    running = {_address(node) for node in status["running_nodes"]}
    return {
        "running": sorted(running & {*addresses}),
        "away": sorted({*addresses} - running),
        "strange": sorted({_address(node) for node in status["disk_nodes"]} - {*addresses}),
        "divided": bool(status["partitions"]),
    }


def _address(node: str) -> str:
    return node.partition("@")[2]


def says_hello(address: str, port: int) -> bool:
    """Tell whether a broker answers the first bytes of AMQP, which needs no login."""
    try:
        with socket.create_connection((address, port), LAST_SECONDS / 2) as connection:
            connection.settimeout(LAST_SECONDS / 2)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) != b""
    except OSError:
        return False


def _ask(arguments: list[str], seconds: float) -> Any:
    command = ["rabbitmqctl", "--quiet", "--timeout", f"{seconds:.0f}", "--formatter", "json", *arguments]
    answer = run(command, seconds)
    try:
        return json.loads(answer.out) if answer.code == 0 else None
    except ValueError:
        return None
