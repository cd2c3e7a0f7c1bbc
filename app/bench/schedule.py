"""How punctual beat is, beside a process that only sleeps, and how soon it takes up a changed interval."""

import contextlib
import itertools
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable

EVERY = 2  # seconds; the schedule's interval, and the sleeper's
CHANGES = 5


def lateness(times: list[float]) -> list[float]:
    """Return how many ms more than EVERY seconds lay between each two moments, sorted."""
    return sorted((later - earlier - EVERY) * 1000 for earlier, later in itertools.pairwise(times))


def percentiles(values: list[float]) -> list[str]:
    """Return p50, p90, p99 and the largest, rounded."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return [f"{value:.0f}" for value in (cuts[49], cuts[89], cuts[98], values[-1])]


class Beat:
    """A running `celery beat`; what it sends goes nowhere."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start it."""
        self.sent: defaultdict[str, list[float]] = defaultdict(list)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tutorial", "beat", "--loglevel=INFO"],
            env=environment | {"CELERY_BROKER_URL": "memory://"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or []:
            if "Sending due task" in line:
                name = line.split("Sending due task ")[1].split(" (")[0]
                self.sent[name].append(time.time())

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)


def measure(
    environment: dict[str, str], change: Callable[[int], float], seconds: int
) -> tuple[list[str], list[str], list[float]]:
    """Return percentiles of beat's lateness, of the sleeper's, and the seconds until changes took effect."""
    beat, slept = Beat(environment), []
    try:
        while not beat.sent["steady"]:
            time.sleep(0.1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            slept.append(time.time())
            time.sleep(EVERY)
        steady = lateness(beat.sent["steady"])
        effects = []
        for number in range(CHANGES):
            changed = change(1)
            while not (after := [sent for sent in beat.sent["changing"] if sent >= changed]):
                time.sleep(0.05)
            effects.append(after[0] - changed)
            change(3600)
            time.sleep(6 + number * 0.7)  # beat has noticed, and each change meets another moment
    finally:
        beat.stop()
    return percentiles(steady), percentiles(lateness(slept)), effects
