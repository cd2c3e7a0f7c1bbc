"""Tell what project, database, broker and workers know; run within manage.py shell. Prints one JSON line.

Works in any Django project with django_celery_beat, changes nothing and waits for no answer longer than PATIENCE (in
seconds, given by the caller).
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celery import current_app
from django.apps import apps
from django.db import Error, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

PATIENCE: int = globals().get("PATIENCE", 3)
MOST = 10_000  # tokens that are counted
SETTINGS: dict[str, Any] = json.loads(Path(__file__).with_name("settings.json").read_text(encoding="utf-8"))
now = timezone.now()


def be_impatient(connection: Any) -> None:
    """Let no lock, no query and no server that is away take long; refuse to make a database that isn't there."""
    options = connection.settings_dict.setdefault("OPTIONS", {})
    if connection.vendor == "sqlite":
        name = str(connection.settings_dict["NAME"])
        if not (name.startswith("file:") or Path(name).exists()):
            raise Error(f"there is no file {name}")
        options["timeout"] = PATIENCE
    elif connection.vendor == "postgresql":
        options["connect_timeout"] = PATIENCE
        # A lock is told as such.
        limits = f"-c statement_timeout={PATIENCE}s -c lock_timeout={PATIENCE * 500}ms"
        options["options"] = f"{options.get('options', '')} {limits}".strip()


def stop_long_queries(connection: Any) -> None:
    """SQLite has no limit of its own."""
    if connection.vendor == "sqlite":
        deadline = time.monotonic() + PATIENCE
        connection.connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)


def can_be_written(connection: Any) -> bool:
    """Tell whether the one lock for writing is to be had; other databases have none for all."""
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except Error as error:
            if "locked" not in str(error):
                raise
            return False
        cursor.execute("ROLLBACK")
    return True


def seconds(moment: datetime | None) -> float | None:
    """Return a moment as seconds since 1970."""
    if moment is None:
        return None
    return (moment if timezone.is_aware(moment) else timezone.make_aware(moment)).timestamp()


def periodic_tasks() -> list[dict[str, Any]]:
    """Return every periodic task with its schedule in words, those that can't be read as well."""
    manager = apps.get_model("django_celery_beat", "PeriodicTask")._default_manager
    current_app.loader.import_default_modules()
    found = []
    for pk, name, task, enabled in manager.order_by("name").values_list("pk", "name", "task", "enabled"):
        facts = {"name": name, "task": task, "enabled": enabled, "registered": task in current_app.tasks}
        facts |= dict.fromkeys(("queue", "interval", "sent", "next", "since", "unreadable")) | {"schedule": "?"}
        try:
            facts |= schedule(manager.get(pk=pk))
        except Error:
            raise
        except Exception as error:  # the Admin and SQL may have filled a row with anything
            facts["unreadable"] = f"{type(error).__name__}: {error}"[:200]
        found.append(facts)
    return found


def schedule(row: Any) -> dict[str, Any]:
    """Return when a periodic task ran and will run, since when it is as it is, and why beat can't run it, if so."""
    interval = row.interval and row.interval.schedule.run_every.total_seconds()
    following = None
    if row.enabled and not interval:
        moment = datetime.now(UTC)
        following = moment.timestamp() + row.schedule.remaining_estimate(moment).total_seconds()
    sent = row.last_run_at
    if sent and timezone.is_naive(sent):
        sent = sent.replace(tzinfo=UTC)  # as beat writes and reads it, even with USE_TZ=False
    since = [moment for moment in (seconds(row.date_changed), seconds(row.start_time)) if moment]
    return {
        "queue": row.queue,
        "schedule": str(getattr(row.crontab, "human_readable", "") or row.scheduler),
        "interval": interval or None,
        "sent": seconds(sent),
        "next": following,
        "since": max(since, default=None),
        "unreadable": (problem_of_row(row) or None) if row.enabled else None,
    }


def problem_of_row(row: Any) -> str:
    """Return why beat skips a row, by the rules of the beat that runs."""
    sys.path.append(SETTINGS["library"])
    try:
        from supervised import rows
    except ImportError:  # units that weren't updated yet
        return ""
    finally:
        sys.path.remove(SETTINGS["library"])
    return str(rows.problem(row))


def expired_tokens() -> dict[str, Any]:
    """Count what a clean-up would delete: access tokens without a refresh token, and pairs past their life."""
    from oauth2_provider.models import get_access_token_model, get_refresh_token_model
    from oauth2_provider.settings import oauth2_settings

    tokens = get_access_token_model()._default_manager.filter(refresh_token__isnull=True, expires__lt=now)
    moments = list(tokens.order_by("expires").values_list("expires", flat=True)[:MOST])
    life = oauth2_settings.REFRESH_TOKEN_EXPIRE_SECONDS
    if life:
        life = life if isinstance(life, timedelta) else timedelta(seconds=life)
        pairs = get_refresh_token_model()._default_manager.filter(
            revoked__isnull=True, access_token__expires__lt=now - life
        )
        ended = pairs.order_by("access_token__expires").values_list("access_token__expires", flat=True)[:MOST]
        moments += [moment + life for moment in ended]
    oldest = seconds(min(moments, default=None))
    return {"count": min(len(moments), MOST), "more": len(moments) >= MOST, "oldest": oldest}


def broker() -> dict[str, Any]:
    """Return whether the app can log in to the broker, the app's queues, and what the workers answer."""
    options = {"read_timeout": PATIENCE, "write_timeout": PATIENCE}
    names = list(current_app.amqp.queues)
    connection: Any = current_app.connection_for_write(connect_timeout=PATIENCE, heartbeat=0, transport_options=options)
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=PATIENCE)
        queues = []
        for name in names:
            try:
                queue = connection.channel().queue_declare(name, passive=True)
            except connection.channel_errors:  # nobody has consumed from it yet
                continue
            queues.append({"name": name, "messages": queue.message_count, "consumers": queue.consumer_count})
        return {
            "login": True,
            "names": names,
            "queues": queues,
            "workers": workers(connection),
            "beats": beats(connection),
        }
    except Exception as error:  # the words of some hold the address with the password
        kind = type(error.__cause__ or error).__name__
        return {"login": False, "names": names, "queues": [], "workers": {}, "beats": {}, "error": kind}
    finally:
        connection.collect(socket_timeout=1)


def workers(connection: Any) -> dict[str, Any]:
    """Return, by its name, which tasks each worker that answers has, and what it has noted of runs."""
    most = SETTINGS["worker_hosts"] * len(SETTINGS["workers"])
    found: dict[str, Any] = {}
    for question, arguments in (("registered", {"builtins": True}), ("noted_runs", {})):
        # Of the services only workers answer these.
        answers = current_app.control.broadcast(
            question, arguments, reply=True, timeout=PATIENCE, limit=most, connection=connection
        )
        for answer in answers or []:
            for name, said in answer.items():
                if isinstance(said, list):
                    found.setdefault(name, {})[question] = said
    return found


def beats(connection: Any) -> dict[str, Any]:
    """Return, by its name, whether each beat is active and what it says; nothing where there is only one."""
    if SETTINGS["beat_hosts"] < 2:
        return {}
    control: Any = current_app.control  # whose stubs want a function as matcher
    answers = control.broadcast(
        "beat_state",
        pattern="celerybeat@*",
        matcher="glob",
        reply=True,
        timeout=PATIENCE,
        limit=SETTINGS["beat_hosts"],
        connection=connection,
    )
    return {
        name: {"active": said["active"] is True, "says": str(said.get("says"))}
        for answer in answers or []
        for name, said in answer.items()
        if isinstance(said, dict) and "active" in said
    }


# Beside the questions to the database, whose connection is this thread's.
asked = ThreadPoolExecutor(1).submit(broker)
facts: dict[str, Any] = {"database": {"answers": False}, "tasks": None, "expired_tokens": None}
try:
    connection = connections[router.db_for_write(apps.get_model("django_celery_beat", "PeriodicTask"))]
    be_impatient(connection)
    connection.ensure_connection()
    stop_long_queries(connection)
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    facts["database"] = {
        "answers": True,
        "vendor": connection.vendor,
        "pending": [f"{migration.app_label}.{migration.name}" for migration, _ in plan],
        "writable": can_be_written(connection),
    }
    facts["tasks"] = periodic_tasks()
    if apps.is_installed("oauth2_provider"):
        stop_long_queries(connection)
        try:
            facts["expired_tokens"] = expired_tokens()
        except Error:
            facts["expired_tokens"] = {"count": None, "more": True, "oldest": None}
except Error as error:
    # Also when only one of its tables doesn't answer.
    facts["database"] = {"answers": False, "error": (str(error).splitlines() or [type(error).__name__])[0]}
except LookupError:
    facts["database"]["error"] = "django_celery_beat is not in INSTALLED_APPS"
print(json.dumps(facts | {"broker": asked.result()}))
