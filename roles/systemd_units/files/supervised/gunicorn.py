"""gunicorn's configuration beside the unit's command line: journal, watchdog, slow clients, hung requests."""

import errno
import faulthandler
import gc
import logging
import logging.handlers
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address, ip_network
from selectors import EVENT_READ
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.workers.gthread import ThreadWorker

from supervised import journal, systemd

# Unknown to gunicorn before 25.1, which ignores it here: the socket would need a home that is writable.
control_socket_disable = True
# Twice gunicorn's own: on the way through a login a client's request comes encoded once more.
limit_request_line = 8190

# -- Journal ----------------------------------------------------------------------------------------

accesslog = "-"
# Without the query: it can hold what is nobody's business.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s, %(B)s bytes in %(M)s ms'


class Logger(GunicornLogger):
    """Lines without timestamps, which the journal has, and requests under an identifier of their own."""

    error_fmt = "[%(levelname)s/%(process)d] %(message)s"

    def setup(self, cfg: Any) -> None:
        """Set up both logs; outside systemd, where there is no journal, requests go to standard output."""
        super().setup(cfg)
        journal.give_priorities(self.error_log)
        if os.path.exists("/dev/log"):
            handler = logging.handlers.SysLogHandler("/dev/log")
            handler.ident = os.environ.get("REQUEST_IDENTIFIER", "requests") + ": "
            handler.append_nul = False
            self.access_log.handlers = [handler]


logger_class = Logger

# -- Watchdog ---------------------------------------------------------------------------------------


def pre_fork(server: Any, worker: Any) -> None:
    """Keep what both processes have in memory shared: the collector would copy it by touching it."""
    gc.freeze()


def when_ready(server: Any) -> None:
    """Feed the watchdog from the arbiter's loop, which makes sure that worker processes are there and answer."""
    journal.keep_priorities()
    journal.report_uncaught()
    look_after_workers = server.murder_workers
    status = f"STATUS={server.num_workers} process(es) with {server.cfg.threads} threads each"
    due = 0.0

    def murder_workers() -> None:
        nonlocal due
        look_after_workers()
        if time.monotonic() >= due:
            due = time.monotonic() + systemd.CHECK_SECONDS
            for process in systemd.kill_if_stopped(server.WORKERS):
                server.log.error("Worker process %s was stopped; it is replaced", process)
            systemd.notify("WATCHDOG=1", status)

    server.murder_workers = murder_workers  # gunicorn makes its arbiter itself, and has no other hook in its loop


# -- Proxies ----------------------------------------------------------------------------------------

# Who may say how the client came. Anybody else could pass clear text for TLS.
_proxies = [ip_network(proxy) for proxy in os.environ.get("TRUSTED_PROXIES", "").split()]
FORWARDED = {"FORWARDED", "X-REAL-IP"}


def is_proxy(address: str) -> bool:
    """Tell whether an address is one of theirs."""
    return any(ip_address(address) in network for network in _proxies)


def is_forwarded(name: str) -> bool:
    """Tell whether only a proxy may send a header; its name in capitals."""
    return name in FORWARDED or name.startswith("X-FORWARDED-")


def drop_forwarded(request: Any) -> None:
    """Drop what only a proxy may say, if the request comes from somebody else."""
    if isinstance(request.peer_addr, tuple) and not is_proxy(request.peer_addr[0]):
        request.headers = [(name, value) for name, value in request.headers if not is_forwarded(name)]


def client_address(request: Any) -> Any:
    """Return whose request it is as the project and the log get it: the address that the proxy saw, or the peer's."""
    return address_of_client(request.headers) or request.peer_addr


def address_of_client(headers: list[tuple[str, str]]) -> tuple[str, int] | None:
    """Return the address that the last proxy saw, without a port, or nothing; names of headers in capitals."""
    # A proxy adds what it saw at the end.
    forwarded = [value for name, value in headers if name == "X-FORWARDED-FOR"]
    last = forwarded[-1].rpartition(",")[2].strip() if forwarded else ""
    with suppress(ValueError):
        return str(ip_address(last)), 0
    return None


# -- Slow clients and hung requests -----------------------------------------------------------------

# A client's time for sending a request, during which it costs no thread.
REQUEST_SECONDS = 20
# What a thread waits for a client in all, beyond the time that its bytes take at the least speed: for the answer to be
# taken, or for the rest of a body that is too large to hold.
THREAD_SECONDS = 10
LEAST_BYTES_PER_SECOND = 16 * 1024
# What is held of a request until it is complete, and of all of them in one process.
MOST_BYTES = 1024 * 1024  # more than gunicorn takes as a head
MOST_BYTES_OF_ALL = 32 * 1024 * 1024
# Answers up to about this size wait in the kernel for a client that takes its time.
SEND_BUFFER_BYTES = 512 * 1024

LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
CHUNKED = re.compile(rb"^transfer-encoding:.*chunked", re.IGNORECASE | re.MULTILINE)
CONTINUE = re.compile(rb"^expect:[ \t]*100-continue", re.IGNORECASE | re.MULTILINE)

# By a worker class of one's own files would be sent by the kernel, which keeps no time.
sendfile = False


class ClientSocket(socket.socket):
    """A client's connection, for which a thread waits for a limited time in all."""

    left = float(THREAD_SECONDS)

    def limited(self, call: Callable[..., Any], data: Any) -> Any:
        """Send data, or receive so many bytes, in what is left of the time; a client that takes longer counts as gone.

        Raises:
            ConnectionResetError: the time is over.
        """
        began = time.monotonic()
        try:
            self.settimeout(max(self.left, 0.001))
            return call(data)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client took too long") from error
        finally:
            self.left -= time.monotonic() - began

    def recv(self, *args: Any) -> bytes:
        """Receive; with flags as they say."""
        received: bytes = super().recv(*args) if len(args) > 1 else self.limited(super().recv, *args)
        self.left += len(received) / LEAST_BYTES_PER_SECOND
        return received

    def send(self, *args: Any) -> int:
        """Send a part; with flags as they say."""
        sent: int = super().send(*args) if len(args) > 1 else self.limited(super().send, *args)
        return sent

    def sendall(self, data: Any, *_: Any) -> None:
        """Send all."""
        self.left += len(data) / LEAST_BYTES_PER_SECOND
        self.limited(super().sendall, data)


class Worker(ThreadWorker):
    """gunicorn's threads, which only get requests that are complete: clients that send half of one take none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Start with no request."""
        super().__init__(*args, **options)
        self.unfinished: dict[Any, float] = {}  # connections, and until when each may send the rest
        self.running: dict[int, float] = {}  # threads, and since when each has a request

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection to a thread as soon as there is a request on it; all ways to a thread lead here."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        if not isinstance(conn.sock, ClientSocket):
            conn.sock = ClientSocket(fileno=conn.sock.detach())
            if conn.sock.family in (socket.AF_INET, socket.AF_INET6):
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        conn.sock.left = float(THREAD_SECONDS)
        conn.init()
        conn.sock.setblocking(False)
        conn.told_to_continue = False
        self.unfinished[conn] = time.monotonic() + REQUEST_SECONDS
        self.poller.register(conn.sock, EVENT_READ, partial(self.read, conn))
        self.read(conn)

    def read(self, conn: Any, _: Any = None) -> None:
        """Take what a client has sent, without waiting; hand the connection on when that is a whole request."""
        buffer = conn.parser.unreader.buf
        try:
            received = conn.sock.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            received = None
        except OSError:
            received = b""
        if received:
            buffer.seek(0, os.SEEK_END)
            buffer.write(received)
        if self.complete(conn, buffer.getvalue()):
            self.forget(conn)
            super().enqueue_req(conn)
        elif received == b"" or self.held_bytes() > MOST_BYTES_OF_ALL:
            self.drop(conn)  # half a request whose client has gone is no request

    def complete(self, conn: Any, data: bytes) -> bool:
        """Tell whether a request has arrived, or as much as is held of one."""
        head, end, body = data.partition(b"\r\n\r\n")
        if not end or len(data) > MOST_BYTES:
            return len(data) > MOST_BYTES
        if CHUNKED.search(head):
            whole = body.endswith(b"0\r\n\r\n")
        else:
            length = LENGTH.search(head)
            whole = length is None or len(body) >= int(length[1])
        if not whole and not conn.told_to_continue and CONTINUE.search(head):
            conn.told_to_continue = True
            with suppress(OSError):
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n", socket.MSG_DONTWAIT)
        return whole

    def held_bytes(self) -> int:
        """Return what is held of all requests."""
        return sum(conn.parser.unreader.buf.getbuffer().nbytes for conn in self.unfinished)

    def forget(self, conn: Any) -> None:
        """Wait for nothing more from a connection."""
        self.unfinished.pop(conn)
        self.poller.unregister(conn.sock)

    def drop(self, conn: Any) -> None:
        """Close a connection on which no whole request came."""
        self.forget(conn)
        self.nr_conns -= 1
        conn.close()

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request in a thread, and note since when."""
        self.running[threading.get_ident()] = time.monotonic()
        drop_forwarded(req)
        conn.client = client_address(req)
        try:
            return super().handle_request(req, conn)
        finally:
            self.running.pop(threading.get_ident(), None)

    def notify(self) -> None:
        """Say each second that this process is alive, unless all of its threads hang beyond gunicorn's timeout."""
        now = time.monotonic()
        # A process that ends waits no longer than a moment.
        grace = 0 if self.alive else REQUEST_SECONDS - 2
        for conn in [conn for conn, until in self.unfinished.items() if until - grace < now]:
            self.drop(conn)
        hung = [moment for moment in list(self.running.values()) if now - moment > self.cfg.timeout]
        if len(hung) < self.cfg.threads:
            super().notify()
            return
        self.log.critical("All %d threads hang; this process is replaced", len(hung))
        faulthandler.dump_traceback()
        os._exit(1)


worker_class = Worker
