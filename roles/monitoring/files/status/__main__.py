"""Tell how this host's part of the installation is: one screen, or the same as JSON.

Exit codes are those of monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown. The first line is the verdict.
It answers in time, whatever is wrong, and changes nothing. Written by Ansible (role monitoring).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from broker import read_broker
from databases import read_databases
from django_side import read_project
from host import read_backup, read_certificate, read_disks, read_member_certificates, read_release, read_web
from problems import CRITICAL, LEVELS, Problem, find_problems
from runs import checked, newest, read_runs
from screen import screen
from units import read_exposures, read_units
from words import printable

UNKNOWN = 3
# Debian's own units, which no app gives a name.
SHARED = {
    "rabbitmq": "rabbitmq-server.service",
    "proxy": "nginx.service",
    "etcd": "etcd.service",
    "patroni": "patroni.service",
}
# Of what the caller waits for.
DEFAULT_SECONDS, LEAST_SECONDS = 20, 10


class Checks:
    """Runs the parts at the same time; one that fails is told and doesn't take the others with it."""

    def __init__(self, parts: dict[str, Callable[[], Any]]) -> None:
        """Start all of them."""
        self.failed: dict[str, str] = {}
        pool = ThreadPoolExecutor(max_workers=len(parts))
        self.futures = {name: pool.submit(part) for name, part in parts.items()}

    def result(self, name: str, otherwise: Any) -> Any:
        """Return what the part found out, or the substitute if it isn't asked for here or failed."""
        if name not in self.futures:
            return otherwise
        try:
            return self.futures[name].result()
        except Exception as error:
            self.failed[name] = type(error).__name__
            return otherwise


def gather(settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return all facts of this host, after about so many seconds at most."""
    app, services = settings["app"], settings["services"]
    worker_units = settings["workers"] if "worker" in services else []
    units = {
        unit: name
        for name in services
        for unit in (worker_units if name == "worker" else [SHARED.get(name, f"{app}-{name}.service")])
    }
    is_app_host = bool(units.keys() - set(SHARED.values()))
    others = [f"backup-{app}.timer", f"backup-{app}.service"]

    parts: dict[str, Callable[[], Any]] = {
        "exposures": read_exposures,
        "disks": lambda: read_disks([f"/var/lib/{app}", "/var/lib/rabbitmq", "/var/lib/postgresql"]),
        "backup": lambda: read_backup(app),
        "member_certificates": read_member_certificates,
    }
    if "rabbitmq" in services:
        parts["broker"] = lambda: read_broker(settings["broker"], seconds - 3)
    if "patroni" in services:
        parts["databases"] = lambda: read_databases(settings["databases"], seconds - 3)
    if "proxy" in services:
        parts["certificate"] = lambda: read_certificate(settings["certificate"])
    if "web" in services:
        parts["web"] = lambda: read_web(settings["web"])
    release = read_release(app) if is_app_host else None
    if release and release["current"]:
        parts["project"] = lambda: read_project(app, seconds - 6)
    checks = Checks(parts)
    exposures = checks.result("exposures", {})
    project = checks.result("project", {"error": "no release is current"})
    # After what takes seconds, so that it is of now.
    late = Checks(
        {
            "units": lambda: read_units([*units, *others]),
            "sent": lambda: read_runs(f"/run/{app}-beat"),
            "results": lambda: {unit: read_runs(f"/run/{unit.removesuffix('.service')}") for unit in worker_units},
        }
    )
    read = {unit["name"]: unit for unit in late.result("units", [])}
    sent, results = late.result("sent", []), late.result("results", {})
    timer, last_backup = read.get(others[0]), read.get(others[1])
    facts: dict[str, Any] = {
        "app": app,
        "host": os.uname().nodename,
        "at": time.time(),
        "units": [
            read[name] | {"service": service, "exposure": exposures.get(name)}
            for name, service in units.items()
            if name in read
        ],
        "broker": checks.result("broker", {}),
        "disks": checks.result("disks", []),
        "member_certificates": checks.result("member_certificates", {}),
        "backup": checks.result(
            "backup", dict.fromkeys(("repository", "newest", "made", "error", "checked", "check_error"))
        )
        | {
            "timer_since": timer["since"] if timer else None,
            "failed": bool(last_backup and last_backup["state"] == "failed"),
        },
    }
    if "patroni" in services:
        facts["databases"] = checks.result("databases", None)
    if "proxy" in services:
        facts["certificate"] = checks.result("certificate", None)
    if "web" in services:
        facts["web"] = checks.result("web", None)
    if is_app_host:
        facts |= {
            "release": release,
            "project_error": project.get("error"),
            "database": project.get("database", {"answers": False, "error": "not asked"}),
            "expired_tokens": project.get("expired_tokens"),
            "tasks": project.get("tasks"),
        }
        if "broker" in project:
            facts["broker"] = add_login(facts["broker"], project["broker"])
        workers = project.get("broker", {}).get("workers", {})
        facts["beats"] = project.get("broker", {}).get("beats", {})
        facts["workers"] = {name: said.get("registered") for name, said in workers.items()}
        # Who knows of all runs knows which weren't.
        here = "worker" in services and settings["worker_hosts"] == 1
        facts["runs_known"] = here or sum("noted_runs" in said for said in workers.values()) >= settings[
            "worker_hosts"
        ] * len(settings["workers"])
        elsewhere = [run for said in workers.values() for run in map(checked, said.get("noted_runs", [])) if run]
        own = [without_old_beginning(run, read.get(unit)) for unit, found in results.items() for run in found]
        runs = newest(own + elsewhere)
        last_sent = {run["entry"]: run["sent"] for run in sent if "sent" in run}
        if facts["tasks"] is None and (sent or runs):
            facts["tasks"] = [unknown_task(name) for name in sorted(last_sent | runs)]
        add_runs(facts["tasks"] or [], last_sent, runs)
    facts["at"] = time.time()
    facts["failed_checks"] = checks.failed | late.failed
    return facts


def add_login(broker: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of the broker with what the app sees; the broker's own list of queues has more."""
    login = {"login": seen["login"], "login_error": seen.get("error"), "app_queues": seen["names"]}
    return broker | login | {"queues": broker.get("queues") or seen["queues"]}


def unknown_task(name: str) -> dict[str, Any]:
    """Return what there is of a task that the services know while the database tells nothing."""
    return {
        "name": name,
        "task": "",
        "enabled": None,
        "registered": None,
        "unreadable": None,
        "queue": None,
        "schedule": "unknown",
        "interval": None,
        "sent": None,
        "next": None,
    }


def without_old_beginning(run: dict[str, Any], worker: dict[str, Any] | None) -> dict[str, Any]:
    """Return a run, which doesn't go on if the process that began it is gone."""
    gone = worker is None or worker["state"] != "active" or run.get("invocation") != worker["invocation"]
    return run | {"running": None} if gone else run


def add_runs(tasks: list[dict[str, Any]], sent: dict[str, float], runs: dict[str, dict[str, Any]]) -> None:
    """Complete the tasks by what the services have noted of their last runs."""
    wanted = ("result", "error", "ended", "seconds", "succeeded", "failures", "running")
    for task in tasks:
        task["sent"] = max(task["sent"] or 0, sent.get(task["name"], 0)) or None
        if task["enabled"] and task["interval"] and task["sent"]:
            task["next"] = task["sent"] + task["interval"]
        run = runs.get(task["name"], {})
        task.update({name: run.get(name) for name in wanted})
        task["failures"] = task["failures"] or 0


def verdict(facts: dict[str, Any], problems: list[Problem]) -> str:
    """Return the first line."""
    if problems:
        more = f" ({len(problems) - 1} more below)" if len(problems) > 1 else ""
        return f"{problems[0]}{more}"
    count = len(facts["units"])
    return f"OK {facts['app']} on {facts['host']}: {count} service{'s' if count > 1 else ''} at work, nothing to do"


def give_up(*_: object) -> NoReturn:
    """Say so when time is up; what hangs is left behind."""
    print(Problem(CRITICAL, "no answer in time", "the host hangs or is overloaded", "uptime"))
    sys.stdout.flush()
    os._exit(CRITICAL)


class Parser(argparse.ArgumentParser):
    """Ends as a monitoring plugin that can't ask."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line."""
        self.exit(UNKNOWN, f"{self.format_usage()}{message}\n")


def main() -> int:
    """Run the program and return its exit code."""
    settings = json.loads((Path(__file__).parent / "settings.json").read_text(encoding="utf-8"))
    parser = Parser(prog=f"{settings['app']}-manage status", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print all facts as JSON; moments are seconds since 1970")
    parser.add_argument(
        "--timeout", type=int, default=DEFAULT_SECONDS, metavar="SECONDS", help="answer within so many, 20 if not given"
    )
    given = parser.parse_args()
    if given.timeout < LEAST_SECONDS:
        parser.error(f"--timeout must be {LEAST_SECONDS} or more")
    if os.geteuid() != 0:
        parser.exit(UNKNOWN, f"UNKNOWN: run it as root: sudo {settings['app']}-manage status\n")
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(given.timeout - 1)

    started = time.monotonic()
    facts = gather(settings, given.timeout - 1)
    problems = find_problems(facts, settings)
    code = max((problem.level for problem in problems), default=0)
    if given.json:
        facts |= {
            "level": LEVELS[code].lower(),
            "summary": verdict(facts, problems),
            "problems": [problem._asdict() | {"level": LEVELS[problem.level].lower()} for problem in problems],
            "seconds": round(time.monotonic() - started, 1),
        }
        print(json.dumps(facts, indent=2, sort_keys=True))
    else:
        lines = [verdict(facts, problems), *map(str, problems[1:]), "", *screen(facts)]
        print("\n".join(map(printable, lines)))
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    try:
        CODE = main()
    except BrokenPipeError:  # the reader has seen enough
        CODE = UNKNOWN
    except Exception as error:
        print(f"UNKNOWN: {type(error).__name__} while asking, which is a bug")
        CODE = UNKNOWN
    # Without waiting for what may hang in a thread.
    os._exit(CODE)
