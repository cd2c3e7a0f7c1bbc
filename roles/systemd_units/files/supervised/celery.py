"""Make a Celery worker and Celery beat good services of systemd; the units name it in CELERY_LOADER.

The worker says that it is ready once it consumes, beat once database and broker have answered. Both feed the watchdog
only while they work, try a lost broker again every few seconds, and give log lines a priority.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import kombu
from billiard import active_children
from celery import bootsteps, signals
from celery.apps.beat import Beat
from celery.loaders.app import AppLoader
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from celery.worker.control import inspect_command

from supervised import journal, runs, systemd
from supervised.beat import Service

RETRY_SECONDS = 3
# How long the watchdog is fed while the broker is away; after that a fresh process tries.
PATIENCE_SECONDS = 600
# What a task may take beyond its hard time limit, which the pool ought to have enforced.
GRACE_SECONDS = 30

logger = logging.getLogger("celery.supervised")


class Connection(kombu.Connection):
    """A connection to the broker that is tried again every three seconds, instead of after up to thirty."""

    away_since: float | None = None

    def ensure_connection(self, *args: Any, callback: Callable[[], None] | None = None, **options: Any) -> Any:
        """Connect as kombu does; a refusal, after which kombu doesn't wait at all, takes three seconds as well."""

        def still_trying() -> None:
            # Not for beat's thread for remote control: it says nothing of the scheduler.
            if threading.current_thread() is threading.main_thread():
                self.tell_that_broker_is_away()
            if callback:
                callback()

        intervals: dict[str, Any] = {"interval_start": 1, "interval_step": 1, "interval_max": RETRY_SECONDS}
        try:
            connection = super().ensure_connection(*args, **(intervals | options | {"callback": still_trying}))
        except Exception:
            time.sleep(RETRY_SECONDS)
            raise
        type(self).away_since = None
        return connection

    def _establish_connection(self) -> Any:
        """Connect as kombu does; over TLS, no later answer has to come within the time for connecting.

        py-amqp leaves that on the socket, and who waits longer for a confirmation would publish twice.
        """
        connection = super()._establish_connection()
        if self.ssl:
            connection.transport.sock.settimeout(None)
        return connection

    def drain_events(self, **options: Any) -> Any:
        """Wait for an event as kombu does; keep the connection alive, and notice its loss, if it has a heartbeat."""
        if self.heartbeat:
            self.heartbeat_check()
        return super().drain_events(**options)

    @classmethod
    def tell_that_broker_is_away(cls) -> None:
        """Feed the watchdog while the broker is away, for a limited time."""
        if cls.away_since is None:
            cls.away_since = time.monotonic()
        if time.monotonic() - cls.away_since < PATIENCE_SECONDS:
            systemd.notify("WATCHDOG=1", "STATUS=waiting for the broker")


class Health(bootsteps.StartStopStep):
    """Step of the worker's consumer that feeds the watchdog from the consumer's event loop while tasks get done."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        """Start with no message delivered."""
        self.timer: Any = None
        self.progress: tuple[int, frozenset[str]] = (0, frozenset())
        self.progressed = time.monotonic()
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Begin, with each new connection to the broker."""
        self.progressed = time.monotonic()
        self.timer = consumer.timer.call_repeatedly(systemd.CHECK_SECONDS, self.check, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Stop when the connection is lost or the worker ends."""
        if self.timer:
            self.timer.cancel()

    def check(self, consumer: Any) -> None:
        """Feed the watchdog unless the connection or the pool is stuck; replace stopped processes of the pool."""
        for process in systemd.kill_if_stopped(child.pid for child in active_children() if child.pid):
            logger.error("Pool process %s was stopped; it is replaced", process)
        if consumer.connection and consumer.connection.connected and not self.stuck():
            systemd.notify("WATCHDOG=1", status(consumer))

    def stuck(self) -> bool:
        """Tell whether messages were delivered but none was started or ended for longer than any of them may take."""
        requests = list(state.reserved_requests)
        progress = (sum(state.total_count.values()), frozenset(request.id for request in requests))
        if not requests or progress != self.progress:
            self.progress, self.progressed = progress, time.monotonic()
            return False
        limits = [hard_limit(request) for request in requests]
        if None in limits:  # no limit: nobody can say that it hangs
            return False
        waited = time.monotonic() - self.progressed
        if waited <= max(limits) + GRACE_SECONDS:
            return False
        logger.error("No task was started or finished for %d s although %d were delivered", waited, len(requests))
        return True


def hard_limit(request: Any) -> Any:
    """Return the hard time limit of a request in seconds, or None."""
    return request.time_limits[0] or request.task.time_limit


def status(consumer: Any) -> str:
    """Return the line for `systemctl status`."""
    queues = ", ".join(sorted(queue.name for queue in consumer.task_consumer.queues))
    return f"STATUS=consuming {queues}; {consumer.pool.num_processes} process(es)"


def worker_starts(**_: Any) -> None:
    """Note the runs from the first message on."""
    runs.watch_worker()


@inspect_command()
def noted_runs(state: Any) -> list[dict[str, Any]]:
    """Answer what this worker has noted of the schedule's entries, to the status on another host."""
    return runs.read_all()


def worker_is_ready(sender: Any, **_: Any) -> None:
    """Say READY: the consumer is connected and consumes."""
    systemd.notify("READY=1", status(sender))


def worker_stops(**_: Any) -> None:
    """Say so, also when the signal didn't come from systemd, which then grants the unit's time for a stop."""
    systemd.notify("STOPPING=1", "STATUS=finishing the running tasks")


def scheduled_task_expired(request: Any, expired: bool, **_: Any) -> None:
    """Name the likely cause, once an hour: the broker itself drops what waits for too long, by one clock."""
    if not (expired and request.request_dict.get("celery_beat_task")):
        return
    if time.monotonic() - Expired.logged > Expired.PAUSE_SECONDS:
        Expired.logged = time.monotonic()
        logger.error("%s of the schedule came too late by this host's clock: do this clock and beat's agree?", request)


class Expired:
    """When that was logged last."""

    PAUSE_SECONDS = 3600
    logged = float("-inf")


class Loader(AppLoader):
    """Celery's loader for any app, which also connects what is above when the worker or beat starts."""

    def on_worker_init(self) -> None:
        """Prepare the app; Celery calls this in the worker and in beat, before either does anything."""
        super().on_worker_init()
        journal.keep_priorities()
        journal.report_uncaught()
        self.app.amqp.Connection = Connection
        self.app.steps["consumer"].add(Health)
        Beat.Service = Service
        signals.after_setup_logger.connect(give_priorities, weak=False)
        signals.after_setup_task_logger.connect(give_priorities, weak=False)
        signals.worker_before_create_process.connect(share_memory, weak=False)
        signals.task_revoked.connect(scheduled_task_expired, weak=False)
        signals.worker_init.connect(worker_starts, weak=False)
        signals.worker_ready.connect(worker_is_ready, weak=False)
        signals.worker_shutting_down.connect(worker_stops, weak=False)


def share_memory(**_: Any) -> None:
    """Keep what the pool's processes have in common shared: the collector would copy it by touching it."""
    gc.freeze()


def give_priorities(logger: logging.Logger, **_: Any) -> None:
    """Let each line that Celery logs carry its priority."""
    journal.give_priorities(logger)
