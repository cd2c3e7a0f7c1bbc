"""Tasks that misbehave."""

import os
import signal
import time

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded


@shared_task
def takes(seconds: float) -> None:
    """Take some time."""
    time.sleep(seconds)


@shared_task
def never_ends() -> None:
    """Go on for ever, also when told that the time is over."""
    while True:
        try:
            time.sleep(1)
        except SoftTimeLimitExceeded:
            print("asked to end, goes on")


@shared_task
def raises() -> None:
    """Fail."""
    raise RuntimeError("on purpose")


@shared_task
def eats_memory(mebibytes: int) -> None:
    """Take memory until the kernel's out-of-memory killer comes, which test hosts without a memory controller lack."""
    taken = [b"x" * 2**20 for _ in range(mebibytes)]
    print(f"has {len(taken)} MiB")
    os.kill(os.getpid(), signal.SIGKILL)
