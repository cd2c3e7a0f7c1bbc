"""Make a Celery worker and Celery beat good services of systemd; the units name it in CELERY_LOADER.

The worker says that it is ready once it consumes, beat once it has read its schedule and reached the broker. Both feed
the watchdog only while they work, try a lost broker again every few seconds, and give log lines a priority. Beat also
waits for a lost database, of which Celery makes a traceback each time.
"""

import atexit
import gc
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import celery.beat
import kombu
from amqp.exceptions import ResourceLocked
from billiard import active_children
from celery import bootsteps, signals
from celery.apps.beat import Beat
from celery.loaders.app import AppLoader
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from celery.worker.control import inspect_command
from django.db import DatabaseError, InterfaceError, close_old_connections
from kombu.exceptions import OperationalError

from supervised import journal, runs, systemd

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
        """Start with no message in hand."""
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
        """Tell whether messages are in hand but none was started or finished for longer than any of them may take."""
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
        logger.error("No task was started or finished for %d s although %d are in hand", waited, len(requests))
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


class Turn:
    """The right to send, which one beat at a time has: an exclusive queue on a connection of its own.

    RabbitMQ gives it to the first and takes it back with its connection; another beat stands by and takes over then.
    """

    QUEUE = "celerybeat.turn"
    # Longer than a short cut of the network, which must not cost the turn, and shorter than the broker's patience
    # (twice the heartbeat), which would keep the queue locked after the cut.
    ANSWER_SECONDS = 15
    HEARTBEAT_SECONDS = 10

    def __init__(self, app: Any) -> None:
        """Take nothing yet."""
        self.app = app
        self.connection: Any = None
        self.reached = False
        self.obstacle = "not asked for yet"

    def taken(self) -> bool:
        """Tell whether this beat has the turn, after trying to get it: one question to the broker."""
        if self.connection is None:
            self.connection = self.app.connection_for_write(
                heartbeat=self.HEARTBEAT_SECONDS,
                transport_options={
                    "read_timeout": self.ANSWER_SECONDS,
                    "socket_settings": {socket.TCP_USER_TIMEOUT: self.ANSWER_SECONDS * 1000},
                },
            )
        try:
            self.connection.connect()
            self.connection.default_channel.queue_declare(self.QUEUE, exclusive=True, auto_delete=True)
        except ResourceLocked:
            self.reached = True
            self.lose("standing by, because another beat sends", logging.WARNING)
        except (*self.connection.connection_errors, *self.connection.channel_errors, OperationalError) as error:
            self.lose(f"waiting for the broker: {error}", logging.ERROR)
        else:
            self.reached = True
            if self.obstacle:
                self.obstacle = ""
                logger.info("This beat sends what is due")
        return not self.obstacle

    def give_back(self) -> None:
        """Leave it to the next beat at once."""
        if self.connection:
            self.connection.close()

    def lose(self, obstacle: str, level: int) -> None:
        """Begin anew with the next question; log what is in the way if it is something new."""
        if self.connection:
            self.connection.collect(socket_timeout=1)
            self.connection = None
        if obstacle != self.obstacle:
            self.obstacle = obstacle
            logger.log(level, "Sending nothing: %s", obstacle)


class Database:
    """What is in the way between the scheduler and its database, logged if it is something new."""

    def __init__(self) -> None:
        """Expect nothing."""
        self.obstacle = ""

    def answers(self, ask: Callable[[], Any]) -> bool:
        """Tell whether a question to the database gets through."""
        obstacle = ""
        try:
            ask()
        except (DatabaseError, InterfaceError) as error:
            close_old_connections()  # the next question is asked by a new one
            obstacle = f"waiting for the database: {str(error).partition(chr(10))[0]}"
        if obstacle != self.obstacle:
            self.obstacle = obstacle
            if obstacle:
                logger.error("Sending nothing: %s", obstacle)
            else:
                logger.info("The database answers")
        return not obstacle


class Service(celery.beat.Service):
    """Beat's service, which waits for the database to read its first schedule from."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Expect a database that answers."""
        super().__init__(*args, **options)
        self.database = Database()

    def get_scheduler(self, *args: Any, **options: Any) -> Any:
        """Make the scheduler; the unit's time for a start limits how long that may take."""
        found: list[Any] = []
        make = super().get_scheduler
        while not self.database.answers(lambda: found.append(make(*args, **options))):
            systemd.notify(f"STATUS={self.database.obstacle}")
            time.sleep(RETRY_SECONDS)
        return found[0]

    def sync(self) -> None:
        """Write when tasks ran last, as beat ends, if there is a scheduler yet and the database answers."""
        if "scheduler" not in vars(self):
            return
        scheduler: Any = self.scheduler
        if not self.database.answers(scheduler.Changes.last_change):
            scheduler._dirty.clear()  # each attempt, here and at exit, would only make a traceback
        super().sync()


def forget_future_runs(scheduler: Any) -> None:
    """Let entries that last ran in the future, seen from a clock that was set back, have run just now.

    Else beat would send nothing until the clock gets there again.
    """
    for entry in scheduler.schedule.values():
        entry.last_run_at = min(entry.last_run_at, entry.default_now())
    scheduler._heap = None  # made anew by the next tick


def notice_the_first_change(scheduler: Any) -> None:
    """Let there be a time of the last change: django-celery-beat takes the first one that it sees for a beginning.

    Else the first edit of a schedule that was empty when beat started would count for nothing.
    """
    if scheduler.Changes.last_change() is None:
        scheduler.Changes.update_changed()


def beat_starts(sender: Any, **_: Any) -> None:
    """Send only with the turn, feed the watchdog from the scheduler's ticks, and say READY once the broker answered."""
    scheduler: Any = sender.scheduler
    runs.watch_beat()
    notice_the_first_change(scheduler)
    turn, database = Turn(sender.app), sender.database
    tick, should_sync = scheduler.tick, scheduler.should_sync
    last = float("inf")

    def watched_tick(*args: Any, **options: Any) -> float:
        nonlocal last
        # Both are asked each time: an outage of the database is no reason to lose the turn.
        if all([turn.taken(), database.answers(scheduler.Changes.last_change)]):
            before, last = last, time.time()
            if last < before:  # at the start as well: the clock may have been set while no beat ran
                forget_future_runs(scheduler)
            interval: float = tick(*args, **options)
            said = f"{len(scheduler.old_schedulers)} entries, next look in {interval:.0f} s"
        else:
            interval, said = 1.0, turn.obstacle or database.obstacle
        systemd.notify("WATCHDOG=1", f"STATUS={said}", *(["READY=1"] if turn.reached else []))
        return interval

    scheduler.tick = watched_tick
    scheduler.should_sync = lambda: not database.obstacle and should_sync()
    atexit.register(turn.give_back)
    atexit.register(scheduler.connection.close)


class Loader(AppLoader):
    """Celery's loader for any app, which also connects what is above when the worker or beat starts."""

    def on_worker_init(self) -> None:
        """Prepare the app; Celery calls this in the worker and in beat, before either does anything."""
        super().on_worker_init()
        journal.report_uncaught()
        self.app.amqp.Connection = Connection
        self.app.steps["consumer"].add(Health)
        Beat.Service = Service
        signals.after_setup_logger.connect(give_priorities, weak=False)
        signals.after_setup_task_logger.connect(give_priorities, weak=False)
        signals.worker_before_create_process.connect(share_memory, weak=False)
        signals.worker_init.connect(worker_starts, weak=False)
        signals.worker_ready.connect(worker_is_ready, weak=False)
        signals.worker_shutting_down.connect(worker_stops, weak=False)
        signals.beat_init.connect(beat_starts, weak=False)


def share_memory(**_: Any) -> None:
    """Keep what the pool's processes have in common shared: the collector would copy it by touching it."""
    gc.freeze()


def give_priorities(logger: logging.Logger, **_: Any) -> None:
    """Let each line that Celery logs carry its priority."""
    journal.give_priorities(logger)
