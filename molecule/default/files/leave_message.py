"""Leave one durable message that nobody consumes; run by manage.py shell."""

from celery import current_app
from kombu import Queue

with current_app.connection_for_write() as connection:
    queue = Queue("kept", durable=True)
    connection.default_channel.queue_delete("kept")
    connection.Producer().publish("a message", routing_key="kept", declare=[queue], delivery_mode=2)
