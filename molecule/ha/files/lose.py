#!/usr/bin/env python3
"""Lose brokers in every way while the schedule runs, and print what each loss costs: `lose.py [FAULT…]`.

For each fault one line: seconds from it to the next tick that beat sends, the longest gap between two ticks that were
worked off, how many were sent and not worked off. Ends with an error if a tick was sent or worked off twice, or if no
tick runs within PATIENCE_SECONDS. What is measured is read from the journal of the host with the app.
"""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PODMAN = HERE.parents[1] / "shared/podman"
PROJECT = HERE.parents[2]
INVENTORY = HERE.parent / "inventory/hosts.yml"
BROKERS = ("trio-one", "trio-two", "trio-three")
APP = "trio-app"
INTERVAL_SECONDS = 10
PATIENCE_SECONDS = 180
TASK = "tutorial.tasks.clear_tokens"


def podman(*arguments: str, check: bool = True) -> str:
    """Return what podman prints."""
    return subprocess.run([PODMAN, *arguments], check=check, text=True, capture_output=True, timeout=120).stdout


def on(host: str, *command: str, check: bool = True) -> str:
    """Return what a command prints on a host."""
    return podman("exec", f"oauth-clear-tokens-{host}", *command, check=check)


def address(host: str) -> str:
    """Return the host's address, by which its broker is called."""
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return podman("inspect", "--format", networks, f"oauth-clear-tokens-{host}").strip()


def journal(since: float) -> list[tuple[float, str]]:
    """Return what beat and worker have said since then, each line with its moment."""
    units = ("--unit=tutorial-beat", "--unit=tutorial-worker")
    lines = on(APP, "journalctl", *units, f"--since=@{since:.3f}", "--output=short-unix", "--no-pager").splitlines()
    return [(float(line.split(" ", 1)[0]), line) for line in lines if re.match(r"[0-9.]+ ", line)]


def ticks(since: float) -> tuple[list[float], list[tuple[float, str]]]:
    """Return when ticks were sent, and when which was worked off."""
    said = journal(since)
    sent = [moment for moment, line in said if "Sending due task" in line and TASK in line]
    done = []
    for moment, line in said:
        if found := re.search(rf"{re.escape(TASK)}\[([0-9a-f-]+)\][^:]*:? succeeded", line):
            done.append((moment, found[1]))
    return sent, done


def queues(*columns: str) -> list[dict[str, Any]]:
    """Return what RabbitMQ says of each queue of the app."""
    listing = ("list_queues", "-p", "tutorial", *columns)
    rows: list[dict[str, Any]] = json.loads(on(BROKERS[0], "rabbitmqctl", "--quiet", "--formatter=json", *listing))
    return rows


def leader(queue: str = "maintenance") -> str:
    """Return the host whose broker leads the queue."""
    found = next(row["leader"] for row in queues("name", "leader") if row["name"] == queue)
    return next(host for host in BROKERS if found == f"rabbit@{address(host)}")


def longest_gap(done: list[tuple[float, str]]) -> float:
    """Return the longest time between two ticks that were worked off, in seconds."""
    return max(later - earlier for (earlier, _), (later, _) in itertools.pairwise(done))


def whole() -> bool:
    """Tell whether all three brokers work together."""
    for host in BROKERS:
        said = on(host, "rabbitmqctl", "--quiet", "--timeout=20", "--formatter=json", "cluster_status", check=False)
        try:
            if len(json.loads(said)["running_nodes"]) != len(BROKERS):
                return False
        except ValueError:
            return False
    return True


def reachable() -> bool:
    """Tell whether Ansible reaches all hosts; one that was off has another MAC address, which an attempt may miss."""
    program = Path(sys.executable).with_name("ansible")
    command: list[str | Path] = [program, f"--inventory={INVENTORY}", "all", "--module-name=ping"]
    return not subprocess.run(command, check=False, capture_output=True, cwd=PROJECT, timeout=300).returncode


def play(playbook: str, *options: str, inventory: Path = INVENTORY, seconds: float = 900) -> float:
    """Run a playbook, and return when it began; it may take so many seconds."""
    wait("all hosts are reached", reachable)
    moment = time.time()
    program = Path(sys.executable).with_name("ansible-playbook")
    command: list[str | Path] = [
        program,
        f"--inventory={inventory}",
        PROJECT / "playbooks" / playbook,
        *options,
    ]
    done = subprocess.run(command, check=False, text=True, capture_output=True, cwd=PROJECT, timeout=seconds)
    if done.returncode:
        sys.exit(f"{playbook} failed: {done.stdout}")
    return moment


def kill(queue: str) -> float:
    """Kill the processes of the broker that has the queue, or leads it; systemd starts it again."""
    host, moment = leader(queue), time.time()
    on(host, "systemctl", "kill", "--signal=SIGKILL", "rabbitmq-server.service")
    return moment


def cut_off(*hosts: str) -> float:
    """Let hosts be silent, at once and without a last word."""
    rules = (
        "add table inet off; add chain inet off input { type filter hook input priority 0; policy drop; }; "
        "add chain inet off output { type filter hook output priority 0; policy drop; }; "
        "add rule inet off input iif lo accept; add rule inet off output oif lo accept"
    )
    moment = time.time()
    for host in hosts:
        on(host, "nft", rules)
    return moment


def cut_off_for_a_minute(host: str) -> float:
    """Let a host hear and say nothing for 60 seconds, while it runs."""
    moment = cut_off(host)
    time.sleep(60)
    on(host, "nft", "delete table inet off")
    return moment


def cut_power(*hosts: str) -> float:
    """Let hosts be silent, and then be off."""
    moment = cut_off(*hosts)
    for host in hosts:
        podman("kill", f"oauth-clear-tokens-{host}")
    return moment


def give_power(host: str) -> None:
    """Boot a host."""
    podman("start", f"oauth-clear-tokens-{host}")


def power_cut(queue: str) -> float:
    """The host whose broker has the queue, or leads it, is off for 40 seconds."""
    host = leader(queue)
    moment = cut_power(host)
    time.sleep(40)
    give_power(host)
    return moment


def loss_of_all() -> float:
    """All three lose their power at once, and come back in another order, with pauses."""
    moment = cut_power(*BROKERS)
    time.sleep(5)
    for host in ("trio-three", "trio-one", "trio-two"):
        give_power(host)
        time.sleep(15)
    return moment


# Each returns when it happened. Beat is connected to the broker that has the lock's queue.
FAULTS: dict[str, Callable[[], float]] = {
    # First, because a host that was off has another MAC address, at which SSH's first attempt may not find it.
    "rolling_restart": lambda: play("broker.yml", "--extra-vars=rabbitmq_restart=true", seconds=600),
    "killed_leader": lambda: kill("maintenance"),
    "killed_broker_of_beat": lambda: kill("celerybeat.leader"),
    "power_cut_of_leader": lambda: power_cut("maintenance"),
    "power_cut_of_broker_of_beat": lambda: power_cut("celerybeat.leader"),
    "network_cut_of_leader": lambda: cut_off_for_a_minute(leader()),
    "loss_of_all": loss_of_all,
}


def wait(what: str, done: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(2)


def measure(name: str) -> str:
    """Let a fault happen between two ticks, and return what it cost."""
    wait(f"{name}: all three work", whole)
    start = time.time() - 2.5 * INTERVAL_SECONDS
    wait(f"{name}: a tick runs before it", lambda: bool(ticks(time.time() - INTERVAL_SECONDS)[1]))
    moment = FAULTS[name]()
    end = time.time()
    wait(f"{name}: three ticks run after it", lambda: len(ticks(end)[1]) >= 3)
    wait(f"{name}: all three work again", whole)
    # What was sent last may still run.
    time.sleep(3)
    sent, done = ticks(start)
    # Beat looks at the clock a little early.
    twice = [later for earlier, later in itertools.pairwise(sent) if later - earlier < INTERVAL_SECONDS * 0.8]
    same = len(done) - len({identity for _, identity in done})
    if twice or same:
        sys.exit(f"{name}: {len(twice)} ticks were sent twice, {same} worked off twice")
    after = next(when for when in sent if when > moment) - moment
    gap, lost = longest_gap(done), len(sent) - len(done)
    return f"{name}: next tick sent after {after:.1f} s, longest gap {gap:.1f} s, lost {lost}"


if __name__ == "__main__":
    for chosen in sys.argv[1:] or FAULTS:
        print(measure(chosen), flush=True)
