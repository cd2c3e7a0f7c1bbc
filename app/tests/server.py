"""The project served by gunicorn, so that requests run in parallel as they do when deployed."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connections


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Server:
    """Where it listens."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: dict[str, str] | bytes | str | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """Send one request on a connection of its own; a dictionary is sent as a form."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = urlencode(body)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.request(method, path, body, headers, encode_chunked=chunked)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def post(self, path: str, data: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        return self.ask("POST", path, data, headers)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make the calls at the same moment; return their answers in the same order."""
    barrier = threading.Barrier(len(calls))
    answers: dict[int, Any] = {}

    def run(number: int, call: Callable[[], Any]) -> None:
        barrier.wait()
        answers[number] = call()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[number] for number in range(len(calls))]


@contextmanager
def served(alias: str, **environment: str) -> Iterator[Server]:
    """Serve the project with the test's database while the context lasts."""
    database = connections[alias].settings_dict
    name = quote(str(database["NAME"]))
    url = f"sqlite:///{name}" if alias == "default" else f"postgres://app@/{name}?host={database['HOST']}"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gunicorn = ["-m", "gunicorn", f"--bind=fd://{listener.fileno()}", "--workers=2", "--threads=4"]
        process = subprocess.Popen(
            [sys.executable, *gunicorn, "--log-level=error", "--no-control-socket", "tutorial.wsgi"],
            env={
                "PATH": os.environ["PATH"],
                "DATABASE_URL": url,
                "DJANGO_SECRET_KEY": str(settings.SECRET_KEY),
                "DJANGO_LOG_LEVEL": "error",
            }
            | environment,
            pass_fds=[listener.fileno()],
        )
        try:
            yield Server(listener.getsockname()[1])
        finally:
            process.terminate()
            process.wait()
