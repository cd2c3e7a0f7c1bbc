"""Run a program for a limited time, whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import NamedTuple


class Answer(NamedTuple):
    """What a program said; the code is None if it didn't end in time or isn't there."""

    code: int | None
    out: str
    err: str
    pid: int


def run(command: list[str], seconds: float, stdin: str = "") -> Answer:
    """Run the command; end it and its children after so many seconds."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            # With it Debian's rabbitmqctl, among others, takes options for operands.
            env={name: value for name, value in os.environ.items() if name != "POSIXLY_CORRECT"},
        )
    except OSError as error:
        return Answer(None, "", f"{command[0]}: {error.strerror}", 0)
    try:
        out, err = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return Answer(None, "", f"{command[0]} gave no answer within {seconds:.0f} s", process.pid)
    return Answer(process.returncode, out, err, process.pid)
