"""What the journals of beat and the worker tell of the periodic tasks."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

SECONDS = 3
ENOUGH_FAILURES = 3

SENT = re.compile(r"Scheduler: Sending due task (?P<name>.+) \((?P<task>[^()]+)\)$")
ENDED = re.compile(
    r"Task (?P<task>[^\s\[]+)\[[^\]]+\] "
    r"(?:succeeded in (?P<seconds>[\d.]+)s|raised \w+: (?:(?P<error>\w+)\()?|INTERNAL ERROR)"
    r"|Hard time limit \((?P<limit>[\d.]+)s\) exceeded for (?P<late>[^\s\[]+)\["
)


def read_sent(app: str) -> dict[str, float]:
    """Return when beat sent each task last, by name, if it was in the last minutes; the database knows the rest."""
    sent: dict[str, float] = {}
    for moment, line in _backwards(f"{app}-beat.service", "Sending due task", "--since=-15min"):
        if match := SENT.search(line):
            sent.setdefault(match["name"], moment)
    return sent


def read_results(app: str, tasks: set[str]) -> dict[str, dict[str, Any]]:
    """Return how the last runs of the tasks ended; it looks back until it knows, or for a few seconds."""
    results: dict[str, dict[str, Any]] = {}
    open_tasks = set(tasks)
    for moment, line in _backwards(f"{app}-worker.service", r"\] (succeeded in|raised|INTERNAL ERROR)|Hard time limit"):
        if match := ENDED.search(line):
            task = match["task"] or match["late"]
            note_end(results.setdefault(task, {}), moment, match)
            if results[task]["succeeded"] or results[task]["failures"] >= ENOUGH_FAILURES:
                open_tasks.discard(task)
        if not open_tasks:
            break
    return results


def note_end(result: dict[str, Any], moment: float, match: re.Match[str]) -> None:
    """Add an end of a run to what is known of later ones."""
    good = match["seconds"] is not None
    if not result:
        error = match["error"] or ("TimeLimitExceeded" if match["late"] else "see its journal")
        result.update(
            ended=moment,
            result="succeeded" if good else "failed",
            seconds=float(match["seconds"]) if good else None,
            error=None if good else error,
            succeeded=None,
            failures=0,
        )
    if result["succeeded"] is None:
        if good:
            result["succeeded"] = moment
        else:
            result["failures"] += 1


def _backwards(unit: str, pattern: str, *options: str) -> Iterator[tuple[float, str]]:
    """Yield the moment and the text of the unit's lines that match, newest first, for a few seconds at most."""
    command = ["journalctl", "--quiet", "--reverse", f"--unit={unit}", f"--grep={pattern}", "--case-sensitive=yes"]
    command += ["--output=json", "--output-fields=MESSAGE", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        try:
            for line in process.stdout or ():
                entry = json.loads(line)
                if isinstance(entry.get("MESSAGE"), str):
                    yield int(entry["__REALTIME_TIMESTAMP"]) / 1e6, entry["MESSAGE"]
        except ValueError:  # the line that was being written when time was up
            pass
        finally:
            timer.cancel()
            process.kill()
