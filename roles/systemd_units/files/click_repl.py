"""Stands in for the package of that name in the worker and in beat.

Celery's command line imports it for an interactive shell (`celery amqp repl`), and with it a terminal library: a tenth
of a process's memory and half a second of CPU at each start, for what no service opens.
"""


def register_repl(*_: object, **__: object) -> None:
    """Register no shell."""
