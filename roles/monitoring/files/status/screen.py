"""Write the facts as one screen for a person. Nothing here looks at the host."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

WIDTH = 11


def age(seconds: float) -> str:
    """Return a length of time in the unit that a person would take."""
    seconds = max(seconds, 0)
    for length, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {word}"
    return f"{seconds:.0f} s"


def size(count: float | None) -> str:
    """Return a number of bytes in MiB or GiB."""
    if count is None:
        return "-"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def table(rows: list[list[str]], right: tuple[int, ...] = ()) -> Iterator[str]:
    """Yield the rows with their columns aligned; the columns named go to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def screen(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the screen without the problems, not yet safe to print."""
    for title, block in (
        ("Units", _units(facts)),
        ("Release", _release(facts)),
        ("Web", _web(facts)),
        ("TLS", _certificate(facts)),
        ("Database", _database(facts)),
        ("Databases", _databases(facts)),
        ("Broker", _broker(facts)),
        ("Queues", _queues(facts)),
        ("Beat", _beat(facts)),
        ("Tasks", _tasks(facts)),
        ("Expired", _tokens(facts)),
        ("Disk", _disks(facts)),
        ("Backup", _backup(facts)),
    ):
        for number, line in enumerate(block):
            yield f"{'' if number else title:<{WIDTH}}{line}"


def _units(facts: dict[str, Any]) -> Iterator[str]:
    rows = [["", "state", "since", "restarts", "memory", "exposure", "says"]]
    for unit in facts["units"]:
        rows.append(
            [
                unit["name"].removesuffix(".service"),
                unit["state"] if unit["installed"] else "not installed",
                age(facts["at"] - unit["since"]) if unit["since"] else "-",
                "-" if unit["restarts"] is None else str(unit["restarts"]),
                size(unit["memory"]),
                "-" if unit["exposure"] is None else str(unit["exposure"]),
                # RabbitMQ says an old error for ever.
                unit["says"] if unit["state"] == "active" and unit["service"] != "rabbitmq" else "",
            ]
        )
    yield from table(rows, right=(2, 3, 4, 5))


def _release(facts: dict[str, Any]) -> Iterator[str]:
    if release := facts.get("release"):
        if release["current"]:
            yield f"{release['current']}, current since {_moment(release['since'])}; {release['kept']} kept"
        else:
            yield f"none is current; {release['kept']} kept"


def _web(facts: dict[str, Any]) -> Iterator[str]:
    if web := facts.get("web"):
        yield f"{web['url']} answers {web['status']}" if web["status"] else f"{web['url']} doesn't answer"


def _certificate(facts: dict[str, Any]) -> Iterator[str]:
    if certificate := facts.get("certificate"):
        if certificate["until"] is None:
            yield "the certificate can't be read"
        else:
            whose = "self-signed" if certificate["self_signed"] else f"by {certificate['issuer']}"
            yield f"certificate {whose}, until {_moment(certificate['until'])}"


def _database(facts: dict[str, Any]) -> Iterator[str]:
    database = facts.get("database")
    if database is None:
        return
    if not database["answers"]:
        yield f"unknown: {facts['project_error']}" if facts["project_error"] else f"can't be used: {database['error']}"
        return
    state = "can be written to" if database["writable"] else "is locked by a writer"
    pending = f"pending: {', '.join(database['pending'])}" if database["pending"] else "none pending"
    yield f"{database['vendor']} answers and {state}; migrations: {pending}"


def _databases(facts: dict[str, Any]) -> Iterator[str]:
    if databases := facts.get("databases"):
        if databases["members"] is None:
            yield "patronictl doesn't answer"
            return
        rows = [
            [member["address"], member["role"], member["state"], _behind(member)] for member in databases["members"]
        ]
        if rows:
            yield from table(rows)


def _behind(member: dict[str, Any]) -> str:
    return "" if member["behind_mb"] is None else f"{member['behind_mb']} MB behind"


def _broker(facts: dict[str, Any]) -> Iterator[str]:
    broker = facts["broker"]
    said = []
    if broker.get("tools"):
        alarms = f"alarms: {', '.join(broker['alarms'])}" if broker["alarms"] else "no alarm"
        said += [f"RabbitMQ {broker['version']} answers", alarms]
        said += [f"memory {size(broker['memory'])} of {size(broker['memory_limit'])}"]
    elif "answers" in broker:
        said += ["answers, rabbitmqctl doesn't in time" if broker["answers"] else "doesn't answer"]
    if "login" in broker:
        said += ["the app can log in" if broker["login"] else f"the app can't log in: {broker['login_error']}"]
    if said:
        yield "; ".join(said)
    if cluster := broker.get("cluster"):
        count = len(cluster["running"]) + len(cluster["away"])
        away = f", {', '.join(cluster['away'])} away" if cluster["away"] else ""
        yield f"{len(cluster['running'])} of {count} brokers work: {', '.join(cluster['running'])}{away}"


def _queues(facts: dict[str, Any]) -> Iterator[str]:
    # Celery's own come and go.
    queues = [
        queue
        for queue in facts["broker"].get("queues") or []
        if not queue["name"].startswith(("celeryev.", "celerybeat.")) and not queue["name"].endswith(".pidbox")
    ]
    if queues:
        rows = [
            [queue["name"], f"{queue['messages']} waiting", f"{queue['consumers']} consuming", _leader(queue)]
            for queue in queues
        ]
        yield from table(rows, right=(1, 2))


def _leader(queue: dict[str, Any]) -> str:
    if queue.get("type") != "quorum":
        return ""
    return f"{len(queue['online'])} copies, led by {str(queue['leader']).partition('@')[2]}"


def _beat(facts: dict[str, Any]) -> Iterator[str]:
    for unit in facts["units"]:
        if unit["service"] == "beat":
            fed = unit["fed_watchdog"]
            yield f"last tick {age(facts['at'] - fed)} ago" if fed else "no tick yet"
    for name, beat in sorted((facts.get("beats") or {}).items()):
        yield f"{name}: {beat['says']}"


def _tasks(facts: dict[str, Any]) -> Iterator[str]:
    if facts.get("tasks") is None:
        return
    rows = [["", "", "schedule", "last sent", "next", "last result"]]
    for task in facts["tasks"]:
        next_run = task["next"]
        overdue = next_run is not None and next_run < facts["at"] - 10
        rows.append(
            [
                {True: "on", False: "off", None: "?"}[task["enabled"]],
                task["name"],
                task["schedule"],
                f"{age(facts['at'] - task['sent'])} ago" if task["sent"] else "never",
                ("overdue" if overdue else f"in {age(next_run - facts['at'])}") if next_run is not None else "-",
                _result(task, facts["at"]),
            ]
        )
    yield from table(rows)


def _result(task: dict[str, Any], now: float) -> str:
    if task.get("running"):
        return f"running for {age(now - task['running'])}"
    if not task.get("result") or not task.get("ended"):
        return "none since the worker was started" if task["sent"] else "-"
    took = f" in {task['seconds']:.2f} s" if task["result"] == "succeeded" and task["seconds"] is not None else ""
    error = f": {task['error']}" if task["error"] else ""
    return f"{task['result']}{took}, {age(now - task['ended'])} ago{error}"


def _tokens(facts: dict[str, Any]) -> Iterator[str]:
    tokens = facts.get("expired_tokens")
    if not tokens:
        return
    if tokens["count"] is None:
        yield "tokens: too many to be counted"
    else:
        oldest = f", the oldest for {age(facts['at'] - tokens['oldest'])}" if tokens["oldest"] else ""
        yield f"{tokens['count']}{' or more' if tokens['more'] else ''} tokens wait to be cleared{oldest}"


def _disks(facts: dict[str, Any]) -> Iterator[str]:
    rows = [
        [disk["path"], f"{size(disk['free'])} free", f"of {size(disk['size'])}"]
        for disk in facts["disks"]
        if disk["size"]
    ]
    if rows:
        yield from table(rows, right=(1,))


def _backup(facts: dict[str, Any]) -> Iterator[str]:
    backup = facts["backup"]
    timer = "the timer is on" if backup["timer_since"] else "no timer makes any"
    if backup["made"]:
        checked = f"checked {age(facts['at'] - backup['checked'])} ago" if backup["checked"] else "not checked yet"
        yield f"{backup['newest']}, {age(facts['at'] - backup['made'])} old; {timer}"
        yield f"in {backup['repository']}, {checked}"
    else:
        yield f"none yet; {timer}"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
