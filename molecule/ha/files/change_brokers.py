#!/usr/bin/env python3
"""Go from three brokers to one, remove the others beside their databases, and go back, while the schedule runs.

Prints for each change the longest gap between two ticks that were worked off. Ends with an error if a playbook fails, a
database is touched, ticks don't run, or a queue isn't of the type that the number of brokers wants.
"""

import sys
import time
from pathlib import Path

import yaml
from lose import BROKERS, INVENTORY, TASK, longest_gap, play, queues, ticks, wait, whole
from lose_databases import whole as databases_whole

# Beside the other one, whose credentials it has.
ONE_BROKER = INVENTORY.with_name("one_broker.yml")
DISCARD = "--extra-vars=rabbitmq_discard_queued=true"


def change(name: str, inventory: Path, wanted: str) -> None:
    """Provision with the inventory, and see that the schedule goes on with queues of the wanted type."""
    start = time.time()
    play("../site.yml", DISCARD, inventory=inventory)
    end = time.time()
    wait(f"{name}: three ticks run after it", lambda: len(ticks(end)[1]) >= 3)
    types = {row["type"] for row in queues("name", "type", "durable") if row["durable"]}
    if types != {wanted}:
        sys.exit(f"{name}: the queues are {types}, not {wanted}")
    if not databases_whole():
        sys.exit(f"{name}: the databases aren't whole")
    print(f"{name}: longest gap of {TASK} {longest_gap(ticks(start)[1]):.1f} s", flush=True)


def main() -> None:
    """Make both changes."""
    text = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
    text["broker"]["hosts"] = {BROKERS[0]: None}
    ONE_BROKER.write_text(yaml.safe_dump(text), encoding="utf-8")
    try:
        change("three brokers become one", ONE_BROKER, "classic")
        rest = f"--limit={','.join(BROKERS[1:])}"
        words = "uninstall=tutorial uninstall_group=broker uninstall_data=true"
        play("uninstall.yml", rest, f"--extra-vars={words}", inventory=ONE_BROKER)
        change("one broker becomes three", INVENTORY, "quorum")
        wait("all three brokers work", whole)
    finally:
        ONE_BROKER.unlink()


if __name__ == "__main__":
    main()
