#!/usr/bin/env python3
"""Print what a token and a tick cost each service of the scenario's hosts, in CPU milliseconds: `price.py [SECONDS]`.

Tokens are asked for by as many clients as there are threads in all web processes. A tick is a message that is confirmed
by two of three brokers and worked off by a worker.
"""

import sys
import time

from clients import Clients
from hosts import APP_HOSTS, DATA_HOSTS, on, queues, shell, wait
from lose import CLIENT, MAKE_CLIENT

UNITS = {
    **dict.fromkeys(APP_HOSTS, ("nginx", "tutorial-web", "tutorial-beat", "tutorial-worker")),
    **dict.fromkeys(DATA_HOSTS, ("rabbitmq-server", "patroni", "etcd")),
}
CLIENTS = 4
MESSAGES = 500
SEND = f"""
import time
from tutorial.tasks import clear_sessions
started, cpu = time.monotonic(), time.process_time()
for _ in range({MESSAGES}):
    clear_sessions.apply_async(ignore_result=True)
print(time.monotonic() - started, time.process_time() - cpu)
"""


def used() -> dict[str, float]:
    """Return the CPU seconds that each service has used on all hosts together."""
    total: dict[str, float] = {}
    for host, units in UNITS.items():
        for name in units:
            said = on(host, "systemctl", "show", "--property=CPUUsageNSec", "--value", f"{name}.service")
            total[name] = total.get(name, 0) + int(said) / 1e9
    return total


def tell(what: str, count: int, seconds: float, before: dict[str, float], idle: dict[str, float]) -> None:
    """Print what each cost, less what the services use without it."""
    spent = {name: after - before[name] - idle[name] * seconds for name, after in used().items()}
    parts = ", ".join(f"{name} {1000 * cost / count:.2f}" for name, cost in spent.items() if cost / count > 1e-5)
    print(f"{what}: {count} in {seconds:.1f} s, {count / seconds:.0f} a second; CPU ms for each: {parts}", flush=True)


def main() -> None:
    """Measure idle services, tokens and ticks."""
    seconds = float((sys.argv[1:] or ["30"])[0])
    shell(MAKE_CLIENT.format(*CLIENT))
    before = used()
    time.sleep(seconds)
    idle = {name: (after - before[name]) / seconds for name, after in used().items()}
    print("idle, CPU ms a second:", ", ".join(f"{name} {1000 * cost:.1f}" for name, cost in idle.items()), flush=True)

    before, began = used(), time.monotonic()
    with Clients(*CLIENT, pairs=CLIENTS, pause=0) as clients:
        time.sleep(seconds)
    tell("tokens", sum(bool(answer.token) for answer in clients.answers), time.monotonic() - began, before, idle)

    before, began = used(), time.monotonic()
    took, cpu = map(float, shell(SEND).split())
    wait("no message waits", lambda: not any(row["messages"] for row in queues("messages")))
    tell("ticks", MESSAGES, time.monotonic() - began, before, idle)
    print(
        f"one process sends {MESSAGES / took:.0f} of them a second, for {1000 * cpu / MESSAGES:.2f} CPU ms each",
        flush=True,
    )


if __name__ == "__main__":
    main()
