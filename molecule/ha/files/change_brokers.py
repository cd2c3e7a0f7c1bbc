#!/usr/bin/env python3
"""Go from three brokers to one, remove the others beside their databases, and go back, while the schedule runs.

Prints for each change the longest gap between two ticks that were worked off. Ends with an error if a playbook fails, a
database is touched, ticks don't run, or a queue isn't of the type that the number of brokers wants.
"""

import sys
import time
from pathlib import Path

import yaml
from hosts import DATA_HOSTS, INVENTORY, TASK, databases_whole, done, longest_gap, queues, verb, wait, whole

# Beside the other one, whose credentials it has.
ONE_BROKER = INVENTORY.with_name("one_broker.yml")
DISCARD = "--extra-vars=rabbitmq_discard_queued=true"


def change(name: str, inventory: Path, wanted: str) -> None:
    """Provision with the inventory, and see that the schedule goes on with queues of the wanted type."""
    start = verb("site.yml", DISCARD, inventory=inventory)
    end = time.time()
    wait(f"{name}: three ticks run after it", lambda: len(done(end)) >= 3)
    types = {row["type"] for row in queues("name", "type", "durable") if row["durable"]}
    if types != {wanted}:
        sys.exit(f"{name}: the queues are {types}, not {wanted}")
    if not databases_whole():
        sys.exit(f"{name}: the databases aren't whole")
    gap = longest_gap([moment for moment, _, _ in done(start)])
    print(f"{name}: longest gap of {TASK} {gap:.1f} s", flush=True)


def main() -> None:
    """Make both changes."""
    text = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
    text["broker"]["hosts"] = {DATA_HOSTS[0]: None}
    ONE_BROKER.write_text(yaml.safe_dump(text), encoding="utf-8")
    try:
        change("three brokers become one", ONE_BROKER, "classic")
        rest = f"--limit={','.join(DATA_HOSTS[1:])}"
        words = "uninstall=tutorial uninstall_group=broker uninstall_data=true"
        verb("playbooks/uninstall.yml", rest, f"--extra-vars={words}", inventory=ONE_BROKER)
        change("one broker becomes three", INVENTORY, "quorum")
        wait("all three brokers work", whole)
    finally:
        ONE_BROKER.unlink()


if __name__ == "__main__":
    main()
