"""What the scripts of this scenario ask its hosts, and do to them."""

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
DATA_HOSTS = ("trio-one", "trio-two", "trio-three")
APP_HOSTS = ("trio-app-one", "trio-app-two")
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
    """Return the host's address, by which its broker and its database are called."""
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return podman("inspect", "--format", networks, f"oauth-clear-tokens-{host}").strip()


def host_of(wanted: str) -> str:
    """Return the data host that has the address."""
    return next(host for host in DATA_HOSTS if address(host) == wanted)


def wait(what: str, done: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(2)


def journal(since: float) -> list[tuple[float, str, str]]:
    """Return what beats and workers have said since then: moment, host and line; a host that is off says nothing."""
    units = ("--unit=tutorial-beat", "--unit=tutorial-worker")
    said = []
    for host in APP_HOSTS:
        text = on(host, "journalctl", *units, f"--since=@{since:.3f}", "--output=short-unix", "--no-pager", check=False)
        said += [(float(found[1]), host, found[2]) for found in re.finditer(r"(?m)^([0-9.]+) (.*)$", text)]
    return sorted(said)


def sent(since: float) -> list[tuple[float, str]]:
    """Return when the task was sent, and by the beat of which host."""
    return [(moment, host) for moment, host, line in journal(since) if "Sending due task" in line and TASK in line]


def done(since: float) -> list[tuple[float, str, str]]:
    """Return when it was worked off, by the worker of which host, and the message's identity."""
    pattern = re.compile(rf"{re.escape(TASK)}\[([0-9a-f-]+)\][^:]*:? succeeded")
    found = [(moment, host, pattern.search(line)) for moment, host, line in journal(since)]
    return [(moment, host, match[1]) for moment, host, match in found if match]


def longest_gap(moments: list[float]) -> float:
    """Return the longest time between two of them, in seconds."""
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


def queues(*columns: str) -> list[dict[str, Any]]:
    """Return what RabbitMQ says of each queue of the app."""
    listing = ("list_queues", "-p", "tutorial", *columns)
    rows: list[dict[str, Any]] = json.loads(on(DATA_HOSTS[0], "rabbitmqctl", "--quiet", "--formatter=json", *listing))
    return rows


def leader(queue: str = "maintenance") -> str:
    """Return the host whose broker leads the queue, or has it."""
    found: str = next(row["leader"] for row in queues("name", "leader") if row["name"] == queue)
    return host_of(found.partition("@")[2])


def brokers_whole() -> bool:
    """Tell whether all three brokers work together, and each queue that has copies has all of them."""
    for host in DATA_HOSTS:
        said = on(host, "rabbitmqctl", "--quiet", "--timeout=20", "--formatter=json", "cluster_status", check=False)
        try:
            if len(json.loads(said)["running_nodes"]) != len(DATA_HOSTS):
                return False
        except ValueError:
            return False
    return all(not row["online"] or len(row["online"]) == len(DATA_HOSTS) for row in queues("name", "online"))


def patronictl(host: str, *arguments: str) -> str:
    """Return what Patroni's program says on a host, or nothing."""
    return on(host, "timeout", "60", "patronictl", "-c", "/etc/patroni/config.yml", *arguments, check=False)


def databases() -> list[dict[str, Any]]:
    """Return what Patroni says of its members, by the first host that answers."""
    for host in DATA_HOSTS:
        said = patronictl(host, "list", "-f", "json")
        if said.startswith("["):
            return list(json.loads(said))
    return []


def databases_whole() -> bool:
    """Tell whether there is a primary that the two others copy."""
    return sorted(row["State"] for row in databases()) == ["running", "streaming", "streaming"]


def primary() -> str:
    """Return the host that has it."""
    return host_of(next(row["Host"] for row in databases() if row["Role"] == "Leader"))


def whole() -> bool:
    """Tell whether all brokers and databases work."""
    return brokers_whole() and databases_whole()


def shell(code: str) -> str:
    """Return what code prints in the app's shell."""
    return on(APP_HOSTS[0], "tutorial-manage", "shell", "--verbosity=0", "--command", code)


def reachable() -> bool:
    """Tell whether Ansible reaches all hosts; one that was off has another MAC address, which an attempt may miss."""
    program = Path(sys.executable).with_name("ansible")
    command: list[str | Path] = [program, f"--inventory={INVENTORY}", "all", "--module-name=ping"]
    return not subprocess.run(command, check=False, capture_output=True, cwd=PROJECT, timeout=300).returncode


def play(playbook: str, *options: str, inventory: Path = INVENTORY) -> None:
    """Run a playbook of the project."""
    program = Path(sys.executable).with_name("ansible-playbook")
    command: list[str | Path] = [program, f"--inventory={inventory}", PROJECT / playbook, *options]
    result = subprocess.run(command, check=False, text=True, capture_output=True, cwd=PROJECT, timeout=1800)
    if result.returncode:
        sys.exit(f"{playbook} failed: {result.stdout}")


def verb(playbook: str, *options: str, inventory: Path = INVENTORY) -> float:
    """Run a playbook when Ansible reaches all hosts, and return when it began."""
    wait("all hosts are reached", reachable)
    moment = time.time()
    play(playbook, *options, inventory=inventory)
    return moment
