"""Celery beat as a good service of systemd: the scheduler class of its command line, with this mixed in.

One of several beats is active: it holds the leader lock, which RabbitMQ gives to one; the others are on standby. A row
that can't be run is skipped, alone. What ran is in the database before it is sent, so that no end of beat repeats it,
and is written there only over what this beat knows of it, so that no second beat does.
"""

import atexit
import logging
import math
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import celery.beat
from amqp.basic_message import Message
from amqp.exceptions import MessageNacked, ResourceLocked
from celery.signals import before_task_publish
from celery.utils.imports import load_extension_class_names
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, close_old_connections
from django.utils import timezone
from kombu.exceptions import OperationalError
from kombu.utils.imports import symbol_by_name

from supervised import rows, runs, systemd

logger = logging.getLogger("celery.supervised")

# How far the clocks of beat's and a worker's hosts may differ before messages count as expired.
SKEW_SECONDS = 60
# Characters of arguments from which a message may be too large for the broker.
LARGE = 1_000_000
# AMQP's code with which a broker that stops closes connections; greater ones are for what it can't understand.
CONNECTION_FORCED = 320


class Patience(NamedTuple):
    """Seconds until a lost broker is given up.

    An answer may take longer than a short cut of the network, which must not cost the lock, and less long than the
    broker's own patience (twice the heartbeat), which would keep the queue locked after the cut.
    """

    heartbeat: int = 10
    answer: int = 15
    between_questions: float = math.inf


def patience(app: Any) -> Patience:
    """Return beat's patience, which is less where another broker answers when one is lost."""
    return Patience(3, 4, 2) if len(app.connection_for_write().alt) > 1 else Patience()


class LeaderLock:
    """The right to send, which one beat at a time has: an exclusive queue on a connection of its own.

    RabbitMQ gives it to the first and takes it back with its connection. The others ask each second whether the queue
    is there, by a message that comes back where it isn't: a declaration that is refused would be logged as an error.
    """

    QUEUE = "celerybeat.leader"
    STANDBY = "standby, because another beat is active"

    def __init__(self, app: Any) -> None:
        """Take nothing yet."""
        self.app = app
        self.connection: Any = None
        self.reached = False
        self.returned = False
        self.obstacle = "not asked for yet"
        atexit.register(self.release)

    @cached_property
    def patience(self) -> Patience:
        """Beat's patience with the brokers that there are."""
        return patience(self.app)

    def held(self) -> bool:
        """Tell whether this beat holds the lock, after trying to get it: one question to the broker."""
        try:
            channel = self.channel()
            if self.obstacle and self.taken(channel):
                self.stand_by()
                return False
            channel.queue_declare(self.QUEUE, exclusive=True, auto_delete=True)
        except ResourceLocked:  # another beat was faster
            self.lose(self.obstacle or "another beat has the leader lock")
        except (*self.connection.connection_errors, *self.connection.channel_errors, OperationalError) as error:
            self.lose(f"waiting for the broker: {error}")
        else:
            self.reached = True
            if self.obstacle:
                self.obstacle = ""
                logger.info("This beat is active: it sends what is due")
        return not self.obstacle

    def channel(self) -> Any:
        """Return the channel of the lock's connection, connecting if need be."""
        if self.connection is None:
            self.connection = self.app.connection_for_write(
                heartbeat=self.patience.heartbeat,
                transport_options={
                    "read_timeout": self.patience.answer,
                    "socket_settings": {socket.TCP_USER_TIMEOUT: self.patience.answer * 1000},
                },
            )
        self.connection.connect()
        if self.connection.ssl:
            # Where read_timeout, an option of the socket, has no effect.
            self.connection.connection.transport.sock.settimeout(self.patience.answer)
        return self.connection.default_channel

    def taken(self, channel: Any) -> bool:
        """Tell whether another beat holds the lock: its queue takes a message, which is dropped at once."""
        self.returned = False
        channel.events["basic_return"].add(self.note_return)
        try:
            channel.basic_publish_confirm(Message(b"", expiration="0"), routing_key=self.QUEUE, mandatory=True)
        except MessageNacked:  # the queue went with its broker, one of a cluster
            return False
        return not self.returned

    def note_return(self, *_: Any) -> None:
        """Note that the broker has no queue for the message."""
        self.returned = True

    def stand_by(self) -> None:
        """Log it once."""
        self.reached = True
        if self.obstacle != self.STANDBY:
            self.obstacle = self.STANDBY
            logger.info("On standby: another beat is active, and this one takes over when it ends")

    def release(self) -> None:
        """Let a standby beat take over at once."""
        if self.connection:
            self.connection.close()
            self.connection = None

    def lose(self, obstacle: str) -> None:
        """Begin again with the next question; log what is in the way if it is something new."""
        if self.connection:
            self.connection.collect(socket_timeout=1)
            self.connection = None
        if obstacle != self.obstacle:
            self.obstacle = obstacle
            logger.error("Sending nothing: %s", obstacle)


class Database:
    """What is in the way between the scheduler and its database, logged if it is something new."""

    def __init__(self) -> None:
        """Expect nothing."""
        self.reached = False
        self.obstacle = ""

    def answers(self, ask: Callable[[], Any]) -> bool:
        """Tell whether a question to the database gets through."""
        obstacle = ""
        try:
            ask()
        except (DatabaseError, InterfaceError) as error:
            close_old_connections()  # the next question is asked by a new one
            obstacle = f"waiting for the database: {str(error).partition(chr(10))[0]}"
        else:
            self.reached = True
        if obstacle != self.obstacle:
            self.obstacle = obstacle
            if obstacle:
                logger.error("Sending nothing: %s", obstacle)
            else:
                logger.info("The database answers")
        return not obstacle


def in_utc(moment: datetime) -> datetime:
    """Return a moment with its time zone; one without is UTC, as django-celery-beat takes it."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class Entry:
    """Mixed into django-celery-beat's ModelEntry."""

    model: Any
    options: dict[str, Any]
    apart: bool
    last_run_at: datetime
    _default_now: Callable[[], datetime]

    def __init__(self, model: Any, app: Any = None) -> None:
        """Read a row, as django-celery-beat does; keep what the database says of its last run."""
        if not hasattr(model, "last_run_noted"):
            model.last_run_noted = model.last_run_at
        super().__init__(model, app=app)  # type: ignore[call-arg]
        # Before 2.8 django-celery-beat gives it to the broker in a way that the worker never sees.
        self.options["headers"] = {**(self.options.get("headers") or {}), "periodic_task_name": model.name}
        # RabbitMQ refuses such a message by closing the channel, which would hit the next row's: it gets its own.
        self.apart = (
            any(self.options.get(name) for name in ("exchange", "queue", "routing_key"))
            or self.options["headers"].keys() != {"periodic_task_name"}
            or len(model.args or "") + len(model.kwargs or "") > LARGE
        )
        if self.apart:
            self.options["retry"] = False

    def save(self) -> bool:
        """Write when it ran last and how often, and nothing else: the row may have been edited meanwhile.

        Returns False, and writes nothing, if the database has another last run than the one that was read.
        """
        last = in_utc(self.model.last_run_at)
        last = last if settings.USE_TZ else last.replace(tzinfo=None)
        unchanged = type(self.model)._default_manager.filter(pk=self.model.pk, last_run_at=self.model.last_run_noted)
        if not unchanged.update(last_run_at=last, total_run_count=self.model.total_run_count):
            return False
        self.model.last_run_noted = last
        return True

    def forget_future_run(self) -> None:
        """Let it have run just now if it last ran in the future, seen from a clock that was set back.

        Else it would not be sent until the clock gets there again.
        """
        if in_utc(self.last_run_at) > datetime.now(UTC):
            logger.warning("The clock was set back: %r counts as run just now", self.model.name)
            self.last_run_at = self.model.last_run_at = self._default_now()
            self.save()


class Scheduler:
    """Mixed into the scheduler class of the command line, which is django-celery-beat's or derived from it."""

    app: Any
    Model: Any
    Changes: Any
    Entry: Any
    Producer: Any
    connection: Any
    max_interval: float
    old_schedulers: Any
    _dirty: set[str]

    def __init__(self, app: Any, **options: Any) -> None:
        """Ask neither the broker nor the database yet."""
        self.lock = LeaderLock(app)
        self.database = Database()
        self.active = False
        self.overtaken: set[str] = set()
        self.said = ""
        self.ticked = 0.0
        self.skipped: dict[str, str] = {}
        self.logged: dict[str, str] = {}
        super().__init__(app=app, **options)  # type: ignore[call-arg]

    def setup_schedule(self) -> None:
        """Leave it to the first tick that may: the database may be away, and another beat may be active."""

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due if this beat is active, and tell systemd; return the seconds until the next look."""
        before, self.ticked = self.ticked, time.time()
        interval = 1.0
        # Both are asked each time: an outage of the database is no reason to lose the lock.
        if all([self.lock.held(), self.database.answers(self.Changes.last_change)]):
            if not self.active or self.overtaken or self.ticked < before:
                self.active = self.database.answers(self.read_again)
            found: list[float] = []
            self.active = self.active and self.database.answers(
                lambda: found.append(super(Scheduler, self).tick(*args, **options))  # type: ignore[misc]
            )
            interval = min(found[0] if found else interval, self.lock.patience.between_questions)
        else:
            self.active = False
        ready = self.lock.reached and self.database.reached
        self.said = self.status(interval)
        systemd.notify("WATCHDOG=1", f"STATUS={self.said}", *(["READY=1"] if ready else []))
        return interval

    def status(self, interval: float) -> str:
        """Return the line for `systemctl status`, which names the rows that are skipped."""
        if not self.active:
            return self.lock.obstacle or self.database.obstacle
        line = f"active: {len(self.old_schedulers)} entries, next look in {interval:.0f} s"
        if self.skipped:
            line += f"; skipped {len(self.skipped)}: " + ", ".join(
                f"{name!r} ({reason})" for name, reason in list(self.skipped.items())[:5]
            )
        return line

    def read_again(self) -> None:
        """Read the schedule and what ran last from the database, whatever was known of them."""
        # django-celery-beat takes the first time of a change that it sees for a beginning: without one, the first
        # edit of a schedule that was empty would count for nothing; so would one that is made before the last one, seen
        # from a clock that was set back.
        last = self.Changes.last_change()
        if last is None or last > timezone.now():
            self.Changes.update_changed()
        self._dirty.clear()
        self.overtaken.clear()
        self._initial_read, self._heap = True, None
        super().setup_schedule()  # type: ignore[misc]

    def all_as_schedule(self) -> dict[str, Any]:
        """Return the entries by their names, without the rows that can't be run."""
        self.skipped = {}
        schedule = {}
        for row in self.enabled_models():
            reason = rows.problem(row)
            if not reason:
                try:
                    entry = self.Entry(row, app=self.app)
                    entry.forget_future_run()
                except (DatabaseError, InterfaceError):
                    raise
                except Exception as error:  # whatever it makes of a row that looked right
                    reason = rows.explain(error)
                else:
                    schedule[row.name] = entry
            if reason:
                self.skip(row.name, reason)
        return schedule

    def enabled_models(self) -> list[Any]:
        """Return the rows that are switched on; one by one if one of them keeps the others from being read."""
        try:
            return super().enabled_models()  # type: ignore[misc, no-any-return]
        except (DatabaseError, InterfaceError):
            raise
        except Exception:  # a time zone that this host doesn't know, for example
            logger.debug("Reading the rows of the schedule one by one", exc_info=True)
        manager, readable = self.Model._default_manager, []
        for pk, name in manager.filter(enabled=True).values_list("pk", "name"):
            try:
                readable += manager.enabled().filter(pk=pk)
            except (DatabaseError, InterfaceError):
                raise
            except Exception as error:
                self.skip(name, rows.explain(error))
        return readable

    def skip(self, name: str, reason: str) -> None:
        """Note a row that can't be run, and log it once."""
        self.skipped[name] = reason
        if self.logged.get(name) != reason:
            self.logged[name] = reason
            logger.error("Row %r of the schedule is skipped until it is corrected: %s", name, reason)

    def is_due(self, entry: Any) -> Any:
        """Tell whether an entry is due; one that can't be sent is tried again when the schedule was read again."""
        if entry.name in self.skipped:
            return False, self.max_interval
        return super().is_due(entry)  # type: ignore[misc]

    def _is_due_failed(self, entry: Any) -> tuple[bool, float]:
        """Skip an entry of which the next run can't be calculated (any more)."""
        error = sys.exc_info()[1]
        if error is None or isinstance(error, (DatabaseError, InterfaceError)):
            raise
        self.skip(entry.name, rows.explain(error))
        return False, self.max_interval

    def reserve(self, entry: Any) -> Any:
        """Write that it runs before it is sent: what was sent is never sent again, whenever beat ends.

        What another beat has sent since this one read the row isn't sent, whatever became of the lock.
        """
        reserved = super().reserve(entry)  # type: ignore[misc]
        self._dirty.discard(reserved.name)
        try:
            if not reserved.save():
                self.overtaken.add(reserved.name)
        except (DataError, IntegrityError) as error:
            self.skip(entry.name, rows.explain(error))
        return reserved

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a due entry, unless its row says that it ran meanwhile; the schedule is read again then."""
        if entry.name in self.overtaken:
            logger.warning("Row %r of the schedule isn't sent: it ran, or was edited, since it was read", entry.name)
        else:
            super().apply_entry(entry, producer=producer)  # type: ignore[misc]

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Send an entry; one that can't be sent is logged once, without a traceback."""
        if entry.apart:
            producer = self.Producer(self.connection_apart, auto_declare=False)
        try:
            sent = super().apply_async(entry, producer=producer, advance=advance, **options)  # type: ignore[misc]
        except celery.beat.SchedulingError as error:
            if entry.apart:
                vars(self).pop("connection_apart").collect(socket_timeout=1)
            cause = error.__context__ or error
            # Not the row's fault, unless the broker answered its message by closing the connection.
            lost = isinstance(cause, (*self.connection.connection_errors, OperationalError, MessageNacked))
            # kombu wraps some errors.
            code = getattr(cause.__cause__ or cause, "reply_code", None) or 0
            if lost and not (entry.apart and code > CONNECTION_FORCED):
                logger.error("Row %r of the schedule was not sent: %s", entry.name, rows.explain(cause))
            else:
                self.skip(entry.name, f"not sent: {rows.explain(cause)}")
            return None
        if self.logged.pop(entry.name, None):
            self.skipped.pop(entry.name, None)
            logger.info("Row %r of the schedule runs again", entry.name)
        return sent

    @cached_property
    def connection_apart(self) -> Any:
        """A connection on which the broker answers each message."""
        return self.app.connection_for_write(transport_options={"confirm_publish": True, "read_timeout": 10})


def tolerate_skew(headers: dict[str, Any], properties: dict[str, Any], **_: Any) -> None:
    """Let the broker, by its one clock, drop what waits for too long; a worker's clock may differ by a minute."""
    if headers.get("expires"):
        expires = datetime.fromisoformat(headers["expires"]) + timedelta(seconds=SKEW_SECONDS)
        headers["expires"] = expires.isoformat()
    if properties.get("expiration"):
        properties["expiration"] = min(properties["expiration"], rows.MOST_EXPIRE_SECONDS)


def mixed(named: Any) -> Any:
    """Return the scheduler class that the command line names, with what is above mixed in."""
    entry = type("Entry", (Entry, named.Entry), {})
    return type(named.__name__, (Scheduler, named), {"Entry": entry, "__doc__": Scheduler.__doc__})


# Before 5.7 beat has no remote control.
if hasattr(celery.beat, "BeatPidbox"):
    # Newer than its stubs.
    class RemoteControl(celery.beat.BeatPidbox):  # type: ignore[name-defined, misc, unused-ignore]
        """What answers `celery inspect ping`, with a heartbeat: else the broker keeps a lost name for minutes."""

        LOCKED_SECONDS = 30

        def __init__(self, service: Any) -> None:
            """Answer the status, too."""
            super().__init__(service)
            self.node.handlers["beat_state"] = self.beat_state

        def beat_state(self, state: Any, **_: Any) -> dict[str, Any]:
            """Answer whether this beat sends, and what it says of itself."""
            scheduler = vars(self.service).get("scheduler")  # made by the main thread
            return {"active": scheduler is not None and scheduler.active, "says": getattr(scheduler, "said", "")}

        def _connect(self) -> Any:
            """Connect as Celery does."""
            connection = self.app.connection_for_read(heartbeat=patience(self.app).heartbeat)
            try:
                return connection.ensure_connection(self._error_handler, None, callback=self._abort_if_stopping)
            except BaseException:
                connection.collect(socket_timeout=1)
                raise

        def _consume_from(self, connection: Any) -> None:
            """Answer as Celery does; wait without a traceback while another beat has this host's name."""
            try:
                super()._consume_from(connection)
            except ResourceLocked:
                logger.warning("No remote control: another beat has the name %s", self.hostname)
                self._shutdown.wait(self.LOCKED_SECONDS)


class Service(celery.beat.Service):
    """Beat's service, with the classes above."""

    # Celery's own, from 5.7 on.
    remote_control: bool = False

    def __init__(self, *args: Any, **options: Any) -> None:
        """Mix into the class that the command line names."""
        super().__init__(*args, **options)
        named: Any = self.scheduler_cls
        aliases: Any = dict(load_extension_class_names("celery.beat_schedulers"))  # type: ignore[arg-type]
        before_task_publish.connect(tolerate_skew, weak=False)
        self.scheduler_cls = mixed(symbol_by_name(named, aliases=aliases))

    def start(self, *args: Any, **options: Any) -> None:
        """Run until the end."""
        runs.watch_beat()
        if self.remote_control:
            self.remote_control, self._pidbox = False, RemoteControl(self)
            self._pidbox.start()
        super().start(*args, **options)

    def sync(self) -> None:
        """End what is open, and let a standby beat take over before what is left takes its time."""
        super().sync()
        scheduler: Any = self.scheduler
        scheduler.lock.release()
