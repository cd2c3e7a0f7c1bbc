"""Tell systemd how the service is doing: sd_notify(3). Nothing happens outside a unit of Type=notify."""

import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress

MAIN_PROCESS = os.getpid()

# Several chances within WatchdogSec=, which systemd gives in microseconds.
CHECK_SECONDS = int(os.environ.get("WATCHDOG_USEC", "30000000")) / 6e6


def notify(*lines: str) -> None:
    """Send lines such as READY=1, WATCHDOG=1 or STATUS=words. Child processes, which systemd ignores, send nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or os.getpid() != MAIN_PROCESS:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.settimeout(1)
        sock.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))


def kill_if_stopped(processes: Iterable[int]) -> list[int]:
    """Kill those of the processes that were stopped (SIGSTOP), which nothing else would notice; return them.

    Their parent replaces them. A process under a debugger is left alone.
    """
    killed = []
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{process}/stat") as file:
                state = file.read().rpartition(") ")[2][0]
            if state == "T":
                os.kill(process, signal.SIGKILL)
                killed.append(process)
    return killed
