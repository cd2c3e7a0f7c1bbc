#!/usr/bin/python3
"""Make the copies of quorum queues again that don't run on this member, from the two others: `repair_copies.py NODE`.

What a full disk or a power cut did to a copy may keep RabbitMQ from starting it. It says so in its log and goes on, and
what is to be delivered to clients of this member then never is. Called after each start of RabbitMQ.
"""

import json
import subprocess
import sys
from typing import Any

SECONDS = 45


def ask(program: str, *arguments: str) -> str:
    """Return what a program of RabbitMQ's prints, or raise CalledProcessError or TimeoutExpired."""
    command = [program, "--quiet", f"--timeout={SECONDS}", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=SECONDS + 15).stdout


def missing_copies(queues: list[dict[str, Any]], node: str) -> list[str]:
    """Return the names of queues that have a copy on the node, which doesn't run while another one does."""
    # Queues of other types have members as well, and none of them is online.
    return [queue["name"] for queue in queues if queue["online"] and node in {*queue["members"]} - {*queue["online"]}]


def main() -> None:
    """Look at the queues of all virtual hosts."""
    node = sys.argv[1]
    repaired = False
    for vhost in json.loads(ask("rabbitmqctl", "--formatter=json", "list_vhosts")):
        of = f"--vhost={vhost['name']}"
        queues = json.loads(ask("rabbitmqctl", "--formatter=json", "list_queues", of, "name", "members", "online"))
        for name in missing_copies(queues, node):
            print(f"The copy of queue {name} on {node} doesn't run; it is made again.", flush=True)
            ask("rabbitmq-queues", "delete_member", of, name, node)
            ask("rabbitmq-queues", "add_member", of, name, node)
            repaired = True
    if repaired:
        # What was lost on the way to a client is sent to it again.
        ask("rabbitmqctl", "close_all_connections", "--global", "a copy of a queue was made again")


if __name__ == "__main__":
    main()
