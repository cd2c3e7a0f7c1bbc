"""Clients that ask for tokens again and again from outside, as long as it is wanted, and keep how it went."""

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from hosts import longest_gap

# Of the two proxies, as the machine publishes them.
PORTS = (22096, 22097)
NAME = "oauth.example.org"
# As long as a usual client waits for a connection, and for each part of the answer.
PATIENCE_SECONDS = 10


@dataclass
class Answer:
    """What one request gave: the SHA-256 of the token, or nothing; `attempts` is 2 where one was asked again."""

    begin: float
    end: float
    token: str
    attempts: int
    said: str


class Clients:
    """Clients in pairs, each of two with a proxy of its own, that ask the other one if that fails.

    Like every program to which a name means two addresses, they take the next one where nobody answers a connection.
    """

    def __init__(self, identity: str, secret: str, pairs: int = 1, pause: float = 0.3) -> None:
        """Prepare them for an application with the grant client credentials; `pause` is seconds between requests."""
        basic = base64.b64encode(f"{identity}:{secret}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._ended = threading.Event()
        orders = (PORTS, PORTS[::-1]) * pairs
        self._pause = pause
        self._threads = [threading.Thread(target=self._be_client, args=order) for order in orders]
        self.answers: list[Answer] = []

    def __enter__(self) -> "Clients":
        """Let them begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for their last answers."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self.answers.sort(key=lambda answer: answer.end)

    def longest_pause(self) -> float:
        """Return the longest time between two tokens, in seconds."""
        return longest_gap([answer.end for answer in self.answers if answer.token])

    def longest(self) -> float:
        """Return the longest time that a request took, with the second attempt, in seconds."""
        return max(answer.end - answer.begin for answer in self.answers)

    def failed(self) -> list[Answer]:
        """Return those that failed at both proxies."""
        return [answer for answer in self.answers if not answer.token]

    def asked_again(self) -> int:
        """Return how many needed the second attempt."""
        return sum(answer.attempts > 1 for answer in self.answers)

    def _be_client(self, *ports: int) -> None:
        while not self._ended.is_set():
            begin = time.time()
            token, attempts, said = "", 0, ""
            for order in (ports, ports[::-1]):
                attempts += 1
                try:
                    token = self._ask(order)
                    break
                except (OSError, ValueError, http.client.HTTPException) as error:
                    said = f"{said} {order}: {error!r}"
            self.answers.append(Answer(begin, time.time(), token, attempts, said.strip()))
            self._ended.wait(self._pause)

    def _connect(self, port: int) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        return self._context.wrap_socket(plain, server_hostname=NAME)

    def _connect_to_first(self, ports: tuple[int, ...]) -> ssl.SSLSocket:
        for port in ports[:-1]:
            with contextlib.suppress(OSError):
                return self._connect(port)
        return self._connect(ports[-1])

    def _ask(self, ports: tuple[int, ...]) -> str:
        with self._connect_to_first(ports) as secure:
            connection = http.client.HTTPSConnection(NAME)
            connection.sock = secure
            connection.request("POST", "/o/token/", "grant_type=client_credentials", self._headers)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise ValueError(f"{answer.status} {body[:80]!r}")
        return hashlib.sha256(json.loads(body)["access_token"].encode()).hexdigest()
