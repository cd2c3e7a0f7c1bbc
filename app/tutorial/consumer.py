"""What a worker does with a connection to a cluster of brokers."""

from typing import ClassVar

from celery.worker.consumer import Consumer as CeleryConsumer


class Consumer(CeleryConsumer):
    """Celery's consumer without queues for messages that wait.

    For quorum queues Celery would declare 28 of these. Queues with a direct exchange, as all of this project,
    get no message from them.
    """

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[valid-type, misc]  # by its stubs a variable
        """Celery's steps."""

        default_steps: ClassVar[list[str]] = [
            step
            for step in CeleryConsumer.Blueprint.default_steps
            if not str(step).endswith(":DelayedDelivery")
        ]
