#!/usr/bin/env python3
"""Lose the primary of three databases in every way while clients get tokens: `lose_databases.py [FAULT…]`.

For each fault one line: how long no token was issued, the longest wait for one, how many requests failed, the longest
gap between two scheduled runs. Ends with an error if a token that a client got isn't in the database afterwards.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lose import (
    APP,
    HERE,
    INTERVAL_SECONDS,
    PODMAN,
    address,
    cut_off_for_a_minute,
    cut_power,
    give_power,
    longest_gap,
    on,
    play,
    reachable,
    ticks,
    wait,
)
from lose import BROKERS as DATABASES

CLIENT = {"base": "http://127.0.0.1:8000", "id": "loss-of-databases", "secret": "known-to-this-test-alone"}
MAKE_CLIENT = """
from oauth2_provider.models import Application
if not Application.objects.filter(client_id={id!r}).exists():
    Application.objects.create(name={id!r}, client_id={id!r}, client_secret={secret!r}, client_type="confidential",
                               authorization_grant_type="client-credentials")
"""
COUNT = """
import json, sys
from oauth2_provider.models import AccessToken
wanted = json.loads({wanted!r})
found = set(AccessToken.objects.filter(token_checksum__in=wanted).values_list("token_checksum", flat=True))
print(json.dumps([len(wanted), len(set(wanted) - found)]))
"""


def shell(code: str) -> str:
    """Return what code prints in the app's shell."""
    return on(APP, "tutorial-manage", "shell", "--verbosity=0", "--command", code)


def states() -> list[dict[str, Any]]:
    """Return what Patroni says of its members, by the first host that answers."""
    for host in DATABASES:
        said = on(
            host, "timeout", "15", "patronictl", "-c", "/etc/patroni/config.yml", "list", "-f", "json", check=False
        )
        if said.startswith("["):
            return list(json.loads(said))
    return []


def whole() -> bool:
    """Tell whether there is a primary that the two others copy."""
    return sorted(row["State"] for row in states()) == ["running", "streaming", "streaming"]


def primary() -> str:
    """Return the host that has it."""
    found = next(row["Host"] for row in states() if row["Role"] == "Leader")
    return next(host for host in DATABASES if address(host) == found)


def killed() -> float:
    """PostgreSQL of the primary is killed; Patroni starts it again."""
    host = primary()
    moment = time.time()
    on(host, "sh", "-c", "kill -9 $(head -n 1 /var/lib/postgresql/*/*/postmaster.pid)")
    return moment


def killed_patroni() -> float:
    """Patroni and PostgreSQL of the primary are killed."""
    host = primary()
    moment = time.time()
    on(
        host,
        "sh",
        "-c",
        "kill -9 $(systemctl show --property=MainPID --value patroni) "
        "$(head -n 1 /var/lib/postgresql/*/*/postmaster.pid)",
    )
    return moment


def power_cut() -> float:
    """The primary's host is off for 40 seconds."""
    host = primary()
    moment = cut_power(host)
    time.sleep(40)
    give_power(host)
    return moment


def power_cut_of_standby() -> float:
    """The host of another one is off for 40 seconds."""
    host = next(host for host in DATABASES if host != primary())
    moment = cut_power(host)
    time.sleep(40)
    give_power(host)
    return moment


def loss_of_all() -> float:
    """All three lose their power at once, and come back in another order, with pauses."""
    moment = cut_power(*DATABASES)
    time.sleep(5)
    for host in (DATABASES[2], DATABASES[0], DATABASES[1]):
        give_power(host)
        time.sleep(15)
    return moment


FAULTS: dict[str, Callable[[], float]] = {
    "switch_over": lambda: play("switch_over.yml"),
    "rolling_restart": lambda: play("database.yml", "--extra-vars=postgresql_restart=true"),
    "killed_postgresql": killed,
    "killed_patroni_and_postgresql": killed_patroni,
    "power_cut_of_primary": power_cut,
    "power_cut_of_standby": power_cut_of_standby,
    "network_cut_of_primary": lambda: cut_off_for_a_minute(primary()),
    "loss_of_all": loss_of_all,
}


def measure(name: str) -> str:
    """Let a fault happen while tokens are issued, and return what it cost."""
    wait(f"{name}: all three work", whole)
    result = "/run/issued.json"
    script = (HERE / "issue_tokens.py").read_text(encoding="utf-8")
    on(APP, "rm", "-f", result)
    command: list[str | Path] = [
        PODMAN,
        "exec",
        "--interactive",
        f"oauth-clear-tokens-{APP}",
        "python3",
        "-c",
        script,
        result,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as clients:
        print(json.dumps(CLIENT), file=clients.stdin, flush=True)
        clients.stdin.close()  # type: ignore[union-attr]
        time.sleep(5)
        start = time.time()
        moment = FAULTS[name]()
        end = time.time()
        wait(f"{name}: a tick runs after it", lambda: len(ticks(end)[1]) >= 2)
        wait(f"{name}: all three work again", whole)
        on(APP, "pkill", "--signal", "TERM", "--full", "[/]run/issued.json")
        clients.wait(90)
    answers = sorted(json.loads(on(APP, "cat", result)), key=lambda answer: answer["end"])
    got = [answer for answer in answers if "token" in answer]
    wanted = json.dumps([answer["token"] for answer in got])
    count, lost = json.loads(shell(COUNT.format(wanted=wanted)))
    if lost:
        sys.exit(f"{name}: {lost} of {count} tokens that clients got are not in the database")
    pause = max(later["end"] - earlier["end"] for earlier, later in itertools.pairwise(got))
    longest = max(answer["end"] - answer["begin"] for answer in answers)
    failed = [answer for answer in answers if "error" in answer]
    errors = f"{failed[-1]['end'] - moment:.1f} s" if failed else "no time"
    gap = longest_gap(ticks(start - 2 * INTERVAL_SECONDS)[1])
    return (
        f"{name}: no token for {pause:.1f} s, longest request {longest:.1f} s, {len(failed)} of {len(answers)} failed, "
        f"the last after {errors}; all {count} tokens are there; longest gap of the schedule {gap:.1f} s"
    )


if __name__ == "__main__":
    shell(MAKE_CLIENT.format(**CLIENT))
    for chosen in sys.argv[1:] or FAULTS:
        print(measure(chosen), flush=True)
    # For the next one who asks.
    wait("all hosts are reached", reachable)
