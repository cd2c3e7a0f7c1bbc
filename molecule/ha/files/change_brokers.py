#!/usr/bin/env python3
"""Go from three brokers to one, remove the others beside their databases, and go back, while the schedule runs.

Prints for each change the longest gap between two ticks that were worked off. Ends with an error if a playbook fails, a
database is touched, ticks don't run, or a queue isn't of the type that the number of brokers wants.
"""

import sys
import tempfile
import time
from pathlib import Path

import yaml
from hosts import DATA_HOSTS, INVENTORY, TASK, databases_whole, done, longest_gap, queues, verb, wait, whole

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
    with tempfile.TemporaryDirectory() as folder:
        # The same installation, so of the same name and with the same credentials.
        one_broker = Path(folder, INVENTORY.name)
        one_broker.write_text(yaml.safe_dump(text), encoding="utf-8")
        for name in ("group_vars", "credentials"):
            Path(folder, name).symlink_to(INVENTORY.with_name(name))
        change("three brokers become one", one_broker, "classic")
        rest = f"--limit={','.join(DATA_HOSTS[1:])}"
        words = "uninstall=tutorial uninstall_group=broker uninstall_data=true"
        verb("playbooks/uninstall.yml", rest, f"--extra-vars={words}", inventory=one_broker)
    change("one broker becomes three", INVENTORY, "quorum")
    wait("all three brokers work", whole)


if __name__ == "__main__":
    main()
