"""What a worker does with a connection to a cluster of brokers."""

from typing import ClassVar

from celery.worker.consumer import Consumer as CeleryConsumer


class Consumer(CeleryConsumer):
    """Celery's consumer without what keeps it from its tasks when a broker is lost.

    Workers tell one another nothing, neither that they are alive nor what was revoked: such a message would
    wait for the queues of the lost broker, and with it all that the worker does. For quorum queues Celery
    would declare 28 queues for messages that wait; queues with a direct exchange, as all of this project, get
    no message from them.
    """

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[valid-type, misc]  # by its stubs a variable
        """Celery's steps."""

        default_steps: ClassVar[list[str]] = [
            step
            for step in CeleryConsumer.Blueprint.default_steps
            if not str(step).endswith(":DelayedDelivery")
        ]

    def __init__(self, *args: object, **options: object) -> None:
        """Take what Celery takes."""
        quiet = {"without_gossip": True, "without_heartbeat": True, "without_mingle": True}
        super().__init__(*args, **options | quiet)  # type: ignore[arg-type]  # whatever they are
