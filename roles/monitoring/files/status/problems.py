"""Judge the facts: what is wrong, what it means, what to do. Nothing here looks at the host."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

WARNING, CRITICAL = 1, 2
LEVELS = ("OK", "WARNING", "CRITICAL")

GIB = 2**30
DISK_WARNING = 2 * GIB
# Where the broker's disk alarm is by default.
DISK_CRITICAL = GIB // 2
QUEUE_WARNING, QUEUE_CRITICAL = 100, 1000
# A unit that was restarted not longer ago than this may not have come to rest.
UNREST_SECONDS = 600
# What a task's run may take before its absence is told, and before it is critical: a big clean-up takes minutes.
LATE_SECONDS, VERY_LATE_SECONDS = 60, 600
# What runs less often is told by what it leaves undone, such as tokens that wait.
FREQUENT_SECONDS = 3600
# The services' own words: of one that is connected to the broker, and of a beat that has a reason to send nothing.
AT_WORK = ("consuming", "active:")
IDLE = ("waiting for", "another beat")
STANDBY = ("standby",)

# Of the certificates by which other hosts know servers; a run of site.yml renews them in half of ten years.
MEMBER_CERTIFICATE_SECONDS = 365 * 86400

# Of a certificate's life, whatever its length. It is renewed at a third of it.
LATE_SHARE, VERY_LATE_SHARE = 0.25, 0.1

UNDONE = "what it does isn't done"
MEANING = {
    "web": "no page and no token is served",
    "worker": "no task is run",
    "beat": "no task is sent",
    "proxy": "nobody reaches the site",
    "rabbitmq": "no task gets from beat to a worker",
    "patroni": "the copy of the database on this host doesn't run",
    "etcd": "with one more loss the databases find no primary",
}


class Problem(NamedTuple):
    """One thing that is wrong, in the words of its line."""

    level: int
    what: str
    means: str
    do: str

    def __str__(self) -> str:
        """Return its line."""
        return f"{LEVELS[self.level]} {self.what}: {self.means} → {self.do}"


def find_problems(facts: dict[str, Any], settings: dict[str, Any]) -> list[Problem]:
    """Return what is wrong, causes before what follows from them, the worst first."""
    found = [
        *_checks(facts),
        *_units(facts, settings),
        *_beats(facts, settings),
        *_certificate(facts),
        *_member_certificates(facts),
        *_broker(facts),
        *_databases(facts),
        *_project(facts, settings),
        *_disks(facts),
        *_queues(facts, settings),
        *_tasks(facts, settings),
        *_tokens(facts, settings),
        *_backup(facts, settings),
    ]
    return sorted(found, key=lambda problem: -problem.level)


def _checks(facts: dict[str, Any]) -> Iterator[Problem]:
    for name, kind in facts["failed_checks"].items():
        yield Problem(CRITICAL, f"the check of {name} failed ({kind})", "nothing is known of it", "report the bug")


def _units(facts: dict[str, Any], settings: dict[str, Any]) -> Iterator[Problem]:
    if not facts["units"]:
        yield Problem(CRITICAL, "systemd doesn't answer", "nothing can be known", "systemctl is-system-running")
    # One beat of several may be on standby; where it is the only one, a stranger sends.
    idle = IDLE if settings["beat_hosts"] > 1 else IDLE + STANDBY
    for unit in facts["units"]:
        name, look = unit["name"], f"sudo journalctl --lines=30 --unit={unit['name']}"
        means = MEANING[unit["service"]]
        if not unit["installed"]:
            yield Problem(CRITICAL, f"{name} isn't installed", means, "run ansible-playbook site.yml")
        elif unit["service"] == "rabbitmq" and facts["broker"].get("disk_full"):
            what = f"{name} is stopped until its disk has space"
            room = "make room: df -h /var/lib/rabbitmq; it is started by itself"
            yield Problem(WARNING, what, "the two other brokers go on, and one more loss stops all", room)
        elif unit["state"] in ("inactive", "deactivating"):
            yield Problem(CRITICAL, f"{name} is stopped", means, f"sudo systemctl start {name}")
        elif unit["state"] != "active":
            what = f"{name} is {unit['state']} ({unit['detail']})"
            yield Problem(CRITICAL, what, f"{means}, systemd tries again", look)
        elif unit["service"] == "beat" and unit["says"].startswith(idle):
            yield Problem(CRITICAL, f"beat says: {unit['says']}", means, look)
        elif unit["restarts"] and unit["since"] and facts["at"] - unit["since"] < UNREST_SECONDS:
            times = "once" if unit["restarts"] == 1 else f"{unit['restarts']} times"
            what = f"{name} was restarted {times}, last {facts['at'] - unit['since']:.0f} s ago"
            yield Problem(WARNING, what, "it ended or hung by itself", look)


def _beats(facts: dict[str, Any], settings: dict[str, Any]) -> Iterator[Problem]:
    beats = facts.get("beats") or {}
    if len(beats) >= settings["beat_hosts"] > 1 and not any(beat["active"] for beat in beats.values()):
        says = "; ".join(f"{name}: {beat['says']}" for name, beat in sorted(beats.items()))
        look = f"sudo journalctl --lines=30 --unit={facts['app']}-beat, where it runs"
        yield Problem(CRITICAL, f"no beat is active ({says})", MEANING["beat"], look)


def _certificate(facts: dict[str, Any]) -> Iterator[Problem]:
    certificate = facts.get("certificate")
    if certificate is None:
        return
    renew = "run ansible-playbook site.yml with a new one"
    if certificate["from_authority"]:
        renew = "sudo journalctl --unit=certbot; sudo certbot renew"
    if certificate["until"] is None:
        yield Problem(CRITICAL, "the certificate can't be read", MEANING["proxy"], "run ansible-playbook site.yml")
        return
    left = certificate["until"] - facts["at"]
    share = left / max(certificate["until"] - certificate["since"], 1)
    if left <= 0:
        yield Problem(CRITICAL, f"the certificate expired {-left / 3600:.0f} h ago", MEANING["proxy"], renew)
    elif share < LATE_SHARE:
        level = CRITICAL if share < VERY_LATE_SHARE else WARNING
        what = f"the certificate ends in {left / 86400:.1f} days, {share:.0%} of its life"
        yield Problem(level, what, "it wasn't renewed in time", renew)
    if certificate["from_authority"] and certificate["self_signed"]:
        what = "the certificate is self-signed"
        means = "no authority has given one, and clients refuse it"
        yield Problem(CRITICAL, what, means, "run ansible-playbook site.yml, which says why")


def _member_certificates(facts: dict[str, Any]) -> Iterator[Problem]:
    for name, until in facts["member_certificates"].items():
        if until and until - facts["at"] < MEMBER_CERTIFICATE_SECONDS:
            what = f"the certificate of this {name} ends in {(until - facts['at']) / 86400:.0f} days"
            yield Problem(WARNING, what, "other hosts won't know it then", "run ansible-playbook site.yml")


def _databases(facts: dict[str, Any]) -> Iterator[Problem]:
    databases = facts.get("databases")
    if databases is None:
        return
    look = "sudo journalctl --lines=30 --unit=patroni --unit=etcd, on each of them"
    if databases["members"] is None:
        if _active(facts, "patroni"):
            means = "etcd has no majority, or the host is overloaded"
            yield Problem(CRITICAL, "patronictl gives no answer about the databases", means, look)
    elif databases["primary"] is None:
        yield Problem(CRITICAL, "no database is the primary", "nothing can be written", look)
    elif databases["away"]:
        away = ", ".join(databases["away"])
        verb = "is" if len(databases["away"]) == 1 else "are"
        yield Problem(WARNING, f"of the databases {away} {verb} away", "one more loss stops all", look)
    elif not databases["copies"]:
        yield Problem(WARNING, "no other database has all that the primary has", "its loss would lose data", look)


def _broker(facts: dict[str, Any]) -> Iterator[Problem]:
    broker = facts["broker"]
    look = "sudo journalctl --lines=30 --unit=rabbitmq-server"
    if broker.get("answers") is False and broker.get("login") is not True and _active(facts, "rabbitmq"):
        yield Problem(CRITICAL, "the broker doesn't answer", MEANING["rabbitmq"], look)
    elif broker.get("tools") is False and _active(facts, "rabbitmq"):
        means = "the host is slow or overloaded, and whether an alarm is on isn't known"
        yield Problem(WARNING, "the broker answers, but rabbitmqctl takes too long", means, "uptime, then ask again")
    for alarm in broker.get("alarms") or []:
        cure = {
            "disk": "make room: df -h /var/lib/rabbitmq",
            "memory": "sudo rabbitmq-diagnostics memory_breakdown, then empty a queue or raise rabbitmq_memory_limit",
        }
        what = f"the broker's {alarm} alarm is on"
        means = "it takes no messages, so nothing runs although all services look well"
        yield Problem(CRITICAL, what, means, cure.get(alarm, look))
    if broker.get("login") is False and broker.get("answers") is not False:
        yield _login(facts, broker["login_error"])
    if broker.get("cluster"):
        yield from _cluster(broker["cluster"], broker.get("queues") or [])


def _cluster(cluster: dict[str, Any], queues: list[dict[str, Any]]) -> Iterator[Problem]:
    away, running = cluster["away"], cluster["running"]
    if cluster["divided"]:
        means = "they don't see one another, and the smaller part takes no messages"
        yield Problem(CRITICAL, "the cluster of brokers is divided", means, "check the network between them")
    if away:
        few = len(running) <= len(away)
        means = "two of three must work, so nothing runs" if few else "without one more nothing would run"
        what = f"of the brokers {', '.join(away)} {'is' if len(away) == 1 else 'are'} away"
        yield Problem(CRITICAL if few else WARNING, what, means, "there: sudo systemctl status rabbitmq-server")
        return
    if cluster["strange"]:
        what = f"the cluster still knows {', '.join(cluster['strange'])}"
        means = "members that are gone count when it is asked whether most are there"
        yield Problem(WARNING, what, means, "run ansible-playbook site.yml")
    for queue in queues:
        if queue["type"] == "quorum" and (missing := len(queue["members"]) - len(queue["online"])):
            what = f"the queue {queue['name']} lacks {missing} of {len(queue['members'])} copies"
            means = "without one more broker it might stand still"
            yield Problem(WARNING, what, means, f"sudo rabbitmq-queues quorum_status {queue['name']}")


def _login(facts: dict[str, Any], error: str) -> Problem:
    what = f"the app can't log in to the broker ({error})"
    if error in ("AccessRefused", "NotAllowed"):
        return Problem(CRITICAL, what, MEANING["rabbitmq"], "run ansible-playbook site.yml, which sets the password")
    # Who is connected shows that the broker lives.
    at_work = any(unit["state"] == "active" and unit["says"].startswith(AT_WORK) for unit in facts["units"])
    if facts["broker"].get("answers") or at_work:
        return Problem(WARNING, what, "the broker or this host is slow or overloaded", "uptime, then ask again")
    return Problem(CRITICAL, what, MEANING["rabbitmq"], "sudo systemctl status rabbitmq-server, where it runs")


def _project(facts: dict[str, Any], settings: dict[str, Any]) -> Iterator[Problem]:
    if "release" not in facts:
        return
    app, database, web = settings["app"], facts["database"], facts.get("web")
    if facts["release"]["current"] is None:
        yield Problem(CRITICAL, "no release is current", "nothing of the app can run", "run ansible-playbook site.yml")
    elif facts["project_error"]:
        what = f"the project can't be asked ({facts['project_error']})"
        # A database that hangs is told by the health page: here the host may just be busy.
        slow = facts["project_error"].startswith("no answer")
        means = "it hangs, or the host is overloaded" if slow else "it may not start any more"
        yield Problem(WARNING if slow else CRITICAL, what, means, f"uptime; sudo {app}-manage check")
    elif not database["answers"]:
        what = f"the database can't be used ({database['error']})"
        # Not a command of Django's, which would make an empty database where there is none.
        do = f"sudo journalctl --lines=30 --unit={app}-web"
        if database["error"].startswith("there is no file"):
            do = "put it back, or run ansible-playbook playbooks/restore.yml"
        yield Problem(CRITICAL, what, "no token can be issued or cleared", do)
    else:
        if database["pending"]:
            count = len(database["pending"])
            what = f"{count} migration{'s are' if count > 1 else ' is'} pending, {database['pending'][0]} first"
            means = "the release expects what the database doesn't have"
            yield Problem(CRITICAL, what, means, f"run ansible-playbook site.yml, or sudo {app}-manage migrate")
        if not database["writable"]:
            do = f"sudo fuser --verbose /var/lib/{app}/*.sqlite3 tells who has it open"
            yield Problem(CRITICAL, "the database is locked by a writer", "no token can be issued or cleared", do)
    if web and web["status"] != 200 and _active(facts, "web"):
        said = f"answers {web['status']}" if web["status"] else "doesn't answer"
        look = f"sudo journalctl --lines=30 --unit={app}-web"
        yield Problem(CRITICAL, f"{web['url']} {said}", MEANING["web"], look)


def _disks(facts: dict[str, Any]) -> Iterator[Problem]:
    for disk in facts["disks"]:
        if disk["free"] < DISK_WARNING:
            level = CRITICAL if disk["free"] < DISK_CRITICAL else WARNING
            what = f"{disk['path']} has {disk['free'] / 2**20:.0f} MiB left"
            means = "soon nothing can be stored, and the broker takes no messages"
            yield Problem(level, what, means, f"make room: sudo du -xh --max-depth=2 {disk['path']} | sort -h")


def _queues(facts: dict[str, Any], settings: dict[str, Any]) -> Iterator[Problem]:
    broker = facts["broker"]
    if broker.get("tools") and broker["queues"] is None:
        what = "the broker didn't list the queues of the app"
        yield Problem(
            WARNING, what, "its virtual host is gone, or the host is overloaded", "sudo rabbitmqctl list_vhosts"
        )
    workers = [unit.removesuffix(".service") for unit in settings["workers"]]
    where = "where it runs" if len(workers) == 1 else "where they run"
    restart = f"sudo systemctl restart {' '.join(workers)}, {where}"
    look = f"sudo journalctl --lines=30 --unit={' --unit='.join(workers)}, {where}"
    known = broker.get("app_queues", [])
    rows: dict[str, list[str]] = {}
    for task in facts.get("tasks") or []:
        if task["enabled"]:
            rows.setdefault(task["queue"], []).append(task["name"])
    for queue in broker.get("queues") or []:
        name, count = queue["name"], queue["messages"]
        if not queue["consumers"] and (name in known or name in rows):
            what = f"nobody takes messages from the queue {name} ({count} wait)"
            # What an older release, or somebody in the Admin, called it.
            other = f"; or give {', '.join(rows.get(name, []))} another queue in the Admin under Periodic tasks"
            yield Problem(CRITICAL, what, MEANING["worker"], restart + (other if name not in known else ""))
        elif count > QUEUE_WARNING:
            level = CRITICAL if count > QUEUE_CRITICAL else WARNING
            what = f"{count} messages wait in the queue {name}"
            yield Problem(level, what, "the worker doesn't keep up", look)


def _tasks(facts: dict[str, Any], settings: dict[str, Any]) -> Iterator[Problem]:
    units = [f"{settings['app']}-beat", *(unit.removesuffix(".service") for unit in settings["workers"])]
    for task in facts.get("tasks") or []:
        if not task["enabled"]:
            continue
        name = task["name"]
        look = f"sudo journalctl --lines=30 --unit={' --unit='.join(units)} {grep(task['task'])}"
        if task["unreadable"]:
            what = f"beat skips {name} ({task['unreadable']})"
            yield Problem(CRITICAL, what, UNDONE, "correct it in the Admin under Periodic tasks")
        elif unknown_to_workers(task, facts):
            what = f"{name} calls {task['task']}, which no worker knows"
            do = "disable or delete it in the Admin under Periodic tasks, or give it a task that is there"
            yield Problem(CRITICAL, what, UNDONE, do)
        elif task.get("result") == "failed":
            times = f"{task['failures']} times in a row" if task["failures"] > 1 else "at its last run"
            level = CRITICAL if task["failures"] > 2 else WARNING
            yield Problem(level, f"{name} failed {times} ({task['error']})", UNDONE, look)
        elif late := seconds_late(task, facts, settings):
            level = CRITICAL if late > VERY_LATE_SECONDS else WARNING
            what = f"{name} is due {task['schedule']} and didn't run for {late:.0f} s"
            if task.get("result") == "expired":
                means = "its messages come too late: other tasks take long, or the clocks of the hosts differ"
                yield Problem(level, what, means, "timedatectl on each host; " + look)
            else:
                yield Problem(level, what, UNDONE, look)


def grep(text: str) -> str:
    """Return the option of journalctl that finds the text, for a shell; . stands for what can't be printed."""
    pattern = "".join(re.escape(letter) if letter.isprintable() else "." for letter in text)
    return shlex.quote(f"--grep={pattern}")


def unknown_to_workers(task: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Tell whether no worker can run a task: the workers say so, or the release here if none of them answers."""
    registered = [tasks for tasks in facts.get("workers", {}).values() if tasks is not None]
    if registered:
        return not any(task["task"] in tasks for tasks in registered)
    return task["registered"] is False


def seconds_late(task: dict[str, Any], facts: dict[str, Any], settings: dict[str, Any]) -> float | None:
    """Return how long an enabled task has had no good run, if that is too long and this host can know."""
    interval = task["interval"]
    if not interval or interval > FREQUENT_SECONDS or not facts["runs_known"] or "beat" not in settings["services"]:
        return None
    starts = [unit["since"] for unit in facts["units"] if unit["service"] in ("worker", "beat")]
    if None in starts or not starts:
        return None  # told already: one of the two is down
    if task.get("running") and facts["at"] - task["running"] < VERY_LATE_SECONDS:
        return None  # a long run is no missing one
    # A row that is new, was edited or has a time to start begins to count then.
    waited: float = facts["at"] - max([*starts, task.get("succeeded") or 0, task.get("since") or 0])
    return waited if waited > 3 * interval + LATE_SECONDS else None


def _tokens(facts: dict[str, Any], settings: dict[str, Any]) -> Iterator[Problem]:
    tokens = facts.get("expired_tokens")
    if not tokens:
        return
    do = f"enable the clean-up in the Admin under Periodic tasks, or sudo {settings['app']}-manage cleartokens"
    if tokens["count"] is None:
        yield Problem(WARNING, "the expired tokens are too many to be counted", "the clean-up doesn't keep up", do)
    elif tokens["oldest"] and facts["at"] - tokens["oldest"] > settings["late_tokens_minutes"] * 60:
        many = f"{tokens['count']}{' or more' if tokens['more'] else ''}"
        what = f"{many} expired token{'s wait' if tokens['count'] > 1 else ' waits'} to be cleared"
        minutes = (facts["at"] - tokens["oldest"]) / 60
        yield Problem(WARNING, what, f"the oldest since {minutes:.0f} minutes, so the clean-up is off or too slow", do)


def _backup(facts: dict[str, Any], settings: dict[str, Any]) -> Iterator[Problem]:
    backup = facts["backup"]
    limit = settings["old_backup_hours"] * 3600
    # Who makes backups in another way has switched the timer off.
    if not backup["timer_since"]:
        return
    do = f"sudo journalctl --lines=30 --unit=backup-{settings['app']}"
    if facts["at"] - max(backup["made"] or 0, backup["timer_since"]) > limit:
        age = f"{(facts['at'] - backup['made']) / 3600:.0f} hours old" if backup["made"] else "not there"
        yield Problem(WARNING, f"the newest backup is {age}", "what came since would be lost with the host", do)
    elif backup["failed"]:
        yield Problem(WARNING, "the last backup failed", backup["error"] or "it was cut off", do)
    if backup["check_error"]:
        do = f"sudo {settings['app']}-backup --check"
        yield Problem(WARNING, "the last check of the backups failed", backup["check_error"], do)


def _active(facts: dict[str, Any], service: str) -> bool:
    return any(unit["service"] == service and unit["state"] == "active" for unit in facts["units"])
