"""Tell why beat can't run a row of the schedule, which the Admin or SQL may have filled with anything."""

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

from amqp.serialization import dumps as dump_headers
from celery import current_app
from django.db import DatabaseError, InterfaceError
from kombu.serialization import dumps as dump_body
from kombu.utils.json import loads

SCHEDULES = ("interval", "crontab", "solar", "clocked")
# RabbitMQ's limits: of a name, and of the time that a message may wait.
MOST_BYTES = 255
MOST_EXPIRE_SECONDS = (2**32 - 1) // 1000
# One of RabbitMQ's frames, in bytes, without what else of a message is in it.
MOST_HEADER_BYTES = 128 * 1024 - 4096


class Unreadable(Exception):
    """What is wrong with a row, in words for its owner."""


def problem(row: Any) -> str:
    """Return why the PeriodicTask `row` can't run, in one line without control characters; nothing if it can.

    Raises:
        DatabaseError, InterfaceError: the database doesn't answer.
    """
    try:
        check_names(row)
        check_schedule(row)
        check_message(row)
    except (DatabaseError, InterfaceError):
        raise
    except Exception as error:  # whatever libraries make of anybody's input
        return explain(error)
    return ""


def explain(error: BaseException) -> str:
    """Return an error in one line without control characters."""
    words = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
    return "".join(char if char.isprintable() else " " for char in words)[:200].strip()


def check_names(row: Any) -> None:
    """Raise Unreadable if a name is missing, could write on a terminal, or is longer than RabbitMQ takes."""
    if not row.task:
        raise Unreadable("task: is empty")
    for field in ("name", "task", "queue", "exchange", "routing_key"):
        text = getattr(row, field) or ""
        if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
            raise Unreadable(f"{field}: has a control character")
        if field not in ("name", "task") and len(text.encode()) > MOST_BYTES:
            raise Unreadable(f"{field}: is longer than {MOST_BYTES} bytes")


def check_schedule(row: Any) -> None:
    """Raise an error if the row hasn't exactly one schedule, or its next run can't be calculated."""
    kinds = [kind for kind in SCHEDULES if getattr(row, f"{kind}_id") is not None]
    if len(kinds) != 1:
        raise Unreadable(f"needs exactly one of {', '.join(SCHEDULES)}")
    if kinds == ["interval"] and row.interval.every < 1:
        raise Unreadable("interval: must be 1 or more")
    try:
        row.schedule.is_due(datetime.now(UTC))
    except (DatabaseError, InterfaceError):
        raise
    except Exception as error:
        raise Unreadable(f"{kinds[0]}: {explain(error)}") from error


def check_message(row: Any) -> None:
    """Raise an error if the message that the row asks for can't be made."""
    args, kwargs, headers = (
        decoded(row, field, kind) for field, kind in (("args", list), ("kwargs", dict), ("headers", dict))
    )
    if not isinstance(row.total_run_count, int):  # SQLite takes anything
        raise Unreadable("total_run_count: must be a number")
    if row.priority is not None and row.priority not in range(256):
        raise Unreadable("priority: must be from 0 to 255")
    if row.expire_seconds is not None and row.expires is not None:
        raise Unreadable("expires: needs expire_seconds or expires, not both")
    if row.expire_seconds is not None and row.expire_seconds not in range(MOST_EXPIRE_SECONDS + 1):
        raise Unreadable(f"expire_seconds: must be from 0 to {MOST_EXPIRE_SECONDS}")
    task: Any = current_app.tasks.get(row.task)
    if task and task.typing:
        task.__header__(*args, **kwargs)
    message = current_app.amqp.as_task_v2("id", row.task, args, kwargs, expires=row.expires_)
    if taken := sorted(headers.keys() & message.headers.keys()):
        raise Unreadable(f"headers: {', '.join(taken)} is Celery's own")
    dump_body(message.body, current_app.conf.task_serializer)
    try:
        json.dumps(headers, allow_nan=False)
    except ValueError as error:
        raise Unreadable("headers: a number must be finite") from error
    if len(dump_headers("F", (message.headers | headers | {"periodic_task_name": row.name},))) > MOST_HEADER_BYTES:
        raise Unreadable(f"headers: with the names, are longer than {MOST_HEADER_BYTES} bytes")


def decoded(row: Any, field: str, kind: type) -> Any:
    """Return what stands in a field, read as beat reads it.

    Raises:
        Unreadable: it isn't JSON, or not of the wanted kind.
    """
    text = getattr(row, field) or json.dumps(kind())
    try:
        value = loads(text)
    except Exception as error:
        raise Unreadable(f"{field}: not JSON: {explain(error)}") from error
    if not isinstance(value, kind):
        raise Unreadable(f"{field}: must be a JSON {'list' if kind is list else 'object'}")
    return value
