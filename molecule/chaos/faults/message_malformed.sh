# Messages that are no tasks: no JSON, no headers, a pickle. They are logged and dropped.
app '
from celery import current_app
with current_app.connection_for_write() as connection, connection.Producer() as producer:
    send = lambda body, kind, **headers: producer.publish(
        body, routing_key="celery", content_type=kind, content_encoding="utf-8", headers=headers)
    send(b"{not json", "application/json", id="1", task="tutorial.tasks.clear_tokens")
    send(b"[1, 2]", "application/json")
    send(b"\x80\x04N.", "application/x-python-serialize", id="2", task="tutorial.tasks.clear_tokens")'
wait_for tutorial-worker "$began" "Can't decode message body" >/dev/null
wait_for tutorial-worker "$began" "Received and deleted unknown message" >/dev/null
