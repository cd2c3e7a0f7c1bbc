"""Note how the entries of the schedule get on, where the status and the proof of a deployment read it.

A small file per entry in RUNTIME_DIRECTORY (systemd.exec(5)), which the service and root alone can enter. It needs no
log line, no broker and no database to be read. Moments are seconds since 1970, lengths of time are seconds.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import signals

# Beyond it the oldest are deleted: programs make entries for one run each, and the folder is in memory.
MOST_ENTRIES = 1000


def file_of(entry: Any) -> Path | None:
    """Return where an entry is noted: nowhere outside a unit, or for a message that beat didn't send."""
    folder = os.environ.get("RUNTIME_DIRECTORY")
    if not folder or not isinstance(entry, str):
        return None
    return Path(folder) / f"{hashlib.sha256(entry.encode(errors='replace')).hexdigest()[:32]}.json"


def read(path: Path) -> dict[str, Any]:
    """Return what is noted of an entry; nothing if it is new."""
    with suppress(OSError, ValueError):
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return known
    return {}


def read_all() -> list[dict[str, Any]]:
    """Return what is noted of each entry."""
    folder = os.environ.get("RUNTIME_DIRECTORY")
    return [known for path in Path(folder).glob("*.json") if (known := read(path))] if folder else []


def note(entry: Any, **facts: Any) -> None:
    """Add facts to what is noted of an entry, or replace them."""
    path = file_of(entry)
    if not path:
        return
    known = read(path)
    new = path.with_suffix(f".{os.getpid()}")
    # A folder that is gone or full must not cost a traceback with each run; the status then knows nothing.
    with suppress(OSError):
        if not known:
            make_room(path.parent)
        known |= {"entry": entry, "invocation": os.environ.get("INVOCATION_ID")} | facts
        new.write_text(json.dumps(known), encoding="utf-8")
        new.replace(path)


def make_room(folder: Path) -> None:
    """Delete the older half of too many files."""
    files = list(folder.iterdir())
    if len(files) >= MOST_ENTRIES:
        for path in sorted(files, key=lambda path: path.stat().st_mtime)[: MOST_ENTRIES // 2]:
            path.unlink(missing_ok=True)


def note_end(entry: Any, result: str, error: BaseException | None = None, **facts: Any) -> None:
    """Note how a run ended; of an error only its kind, because its words may hold a secret."""
    path, now = file_of(entry), time.time()
    known = read(path) if path else {}
    began = (known.get("running") or {}).get("since")
    facts |= {"running": None, "result": result, "error": error and type(error).__name__}
    facts |= {"ended": now, "uptime": time.monotonic(), "seconds": None if began is None else max(now - began, 0)}
    if result == "succeeded":
        facts |= {"succeeded": now, "failures": 0}
    elif result == "failed":
        facts["failures"] = known.get("failures", 0) + 1
    note(entry, **facts)


def entry_of(request: Any) -> Any:
    """Return the name that beat gave the message of a run."""
    return getattr(request, "periodic_task_name", None)


def entry_that_runs(task_id: str) -> Any:
    """Return the entry whose run has this id, where Celery doesn't say more."""
    running = (known["entry"] for known in read_all() if (known.get("running") or {}).get("id") == task_id)
    return next(running, None)


# -- What the worker does, most of it in a process of the pool --------------------------------------


def begins(sender: Any, task_id: str, **_: Any) -> None:
    """Note that a run has begun."""
    running = {"id": task_id, "since": time.time()}
    note(entry_of(sender.request), task=sender.name, origin=sender.request.origin, running=running)


def succeeds(sender: Any, **_: Any) -> None:
    """Note that a run did what it should."""
    note_end(entry_of(sender.request), "succeeded")


def fails(sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
    """Note that a run failed; the main process tells of those that took too long or whose process died."""
    request = sender.request
    note_end(entry_of(request) if request.id == task_id else entry_that_runs(task_id), "failed", exception)


def fails_outside(request: dict[str, Any], exception: BaseException, **_: Any) -> None:
    """Note that a run failed in Celery's code around the task."""
    note_end(request.get("periodic_task_name"), "failed", exception)


def is_retried(request: Any, **_: Any) -> None:
    """Note that a run is tried again later."""
    note_end(entry_of(request), "retried")


def is_revoked(request: Any, expired: bool, **_: Any) -> None:
    """Note that a message wasn't run, most often because it came too late."""
    note_end(entry_of(request), "expired" if expired else "revoked")


def is_refused(message: Any, exc: BaseException | None, **_: Any) -> None:
    """Note that a message can't be run."""
    headers = message.headers or {}
    note_end(headers.get("periodic_task_name"), "failed", exc, task=headers.get("task"))


def is_unknown(message: Any, name: str, **_: Any) -> None:
    """Note that a message names a task that the worker doesn't have."""
    note_end((message.headers or {}).get("periodic_task_name"), "unknown", task=name)


def watch_worker() -> None:
    """Note what becomes of each message; Celery calls these in the process in which it happens."""
    signals.task_prerun.connect(begins, weak=False)
    signals.task_success.connect(succeeds, weak=False)
    signals.task_failure.connect(fails, weak=False)
    signals.task_internal_error.connect(fails_outside, weak=False)
    signals.task_retry.connect(is_retried, weak=False)
    signals.task_revoked.connect(is_revoked, weak=False)
    signals.task_rejected.connect(is_refused, weak=False)
    signals.task_unknown.connect(is_unknown, weak=False)


# -- What beat does ---------------------------------------------------------------------------------


def is_sent(sender: Any, headers: dict[str, Any] | None, **_: Any) -> None:
    """Note that the broker has taken a message."""
    entry = (headers or {}).get("periodic_task_name")
    note(entry, task=sender, sent=time.time(), uptime=time.monotonic())


def watch_beat() -> None:
    """Note what beat sends."""
    signals.after_task_publish.connect(is_sent, weak=False)
