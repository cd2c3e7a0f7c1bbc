"""A queue whose messages are worked on one after the other."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import celery
from kombu import Message, Queue

logger = logging.getLogger(__name__)


class OneByOne(Queue):
    """A queue from which each worker gets one message at a time."""

    def consume(
        self,
        consumer_tag: str = "",
        callback: Callable[[Any, Message], None] | None = None,
        no_ack: bool | None = None,
        nowait: bool = False,
        on_cancel: Callable[[str], None] | None = None,
    ) -> str:
        """Consume with a limit of one unacknowledged message, however many processes the worker has.

        A limit that isn't global holds for the consumers that come after it, beside the worker's own.
        """
        channel: Any = self.channel
        channel.basic_qos(0, 1, False)
        tag: str = super().consume(consumer_tag, callback, no_ack, nowait, on_cancel)
        channel.basic_qos(0, 0, False)
        return tag


class Task(celery.Task):  # type: ignore[type-arg]  # of any task
    """A task whose messages can't hold up a queue of the kind above."""

    abstract = True
    Strategy = "tutorial.queues:strategy"


def strategy(task: Task, app: celery.Celery, consumer: Any, **options: Any) -> Callable[..., None]:  # noqa: ANN401  # Celery's have no types
    """Return what the worker does with a message: as Celery, but don't wait in a queue's only slot."""
    from celery.worker.strategy import default  # much that other processes don't need

    take = default(task, app, consumer, **options)

    def take_unless_it_waits(message: Message, *args: object) -> None:
        headers, delivery = message.headers or {}, message.delivery_info or {}
        queue = app.amqp.queues.get(delivery.get("routing_key", ""))
        if not (isinstance(queue, OneByOne) and lies_ahead(headers.get("eta"))):
            take(message, *args)
            return
        logger.error(
            "%s is refused: it asks to wait until %s, and all others in the queue %s would wait with it. "
            "Leave the next try to the schedule, or send it to the queue celery.",
            task.name,
            headers["eta"],
            queue.name,
        )
        message.reject_log_error(logger, consumer.connection_errors)

    return take_unless_it_waits


def lies_ahead(eta: object) -> bool:
    """Tell whether a message's time to run is still to come; what isn't a time is Celery's to refuse."""
    try:
        moment = datetime.fromisoformat(str(eta))
    except ValueError:
        return False
    return moment.replace(tzinfo=moment.tzinfo or UTC) > datetime.now(UTC)
