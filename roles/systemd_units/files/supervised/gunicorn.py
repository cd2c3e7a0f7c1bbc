"""gunicorn's configuration, apart from what the unit's command line says: watchdog, hung requests, journal."""

import faulthandler
import gc
import logging
import logging.handlers
import os
import threading
import time
from ipaddress import ip_address, ip_network
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from supervised import journal, systemd

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
    """Feed the watchdog from the arbiter's loop, which sees to it that worker processes are there and answer."""
    journal.give_all_priorities()
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

    server.murder_workers = murder_workers


# -- Proxies ----------------------------------------------------------------------------------------

# Who may say how the client came. Anybody else could pass clear text for TLS.
_proxies = [ip_network(proxy) for proxy in os.environ.get("TRUSTED_PROXIES", "").split()]
FORWARDED = {"FORWARDED", "X-REAL-IP"}


def _is_proxy(address: str) -> bool:
    return any(ip_address(address) in network for network in _proxies)


def drop_forwarded(request: Any) -> None:
    """Drop what only a proxy may say, if the request comes from somebody else."""
    if isinstance(request.peer_addr, tuple) and not _is_proxy(request.peer_addr[0]):
        request.headers = [
            (name, value)
            for name, value in request.headers
            if name not in FORWARDED and not name.startswith("X-FORWARDED-")
        ]


# -- Hung requests ----------------------------------------------------------------------------------

_since: dict[int, float] = {}


def pre_request(worker: Any, request: Any) -> None:
    """Note when a thread takes up a request, and drop what the client may not say."""
    drop_forwarded(request)
    _since[threading.get_ident()] = time.monotonic()


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Note that it is done."""
    _since.pop(threading.get_ident(), None)


def post_worker_init(worker: Any) -> None:
    """Let a worker process whose threads all hang end, after gunicorn's timeout, showing where they hang."""
    report = worker.notify

    def notify() -> None:
        hung = [moment for moment in list(_since.values()) if time.monotonic() - moment > worker.cfg.timeout]
        if len(hung) < worker.cfg.threads:
            report()
            return
        worker.log.critical("All %d threads hang; this process is replaced", len(hung))
        faulthandler.dump_traceback()
        os._exit(1)

    worker.notify = notify
