"""A queue whose messages are worked on one after the other."""

from collections.abc import Callable
from typing import Any

from kombu import Message, Queue


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
