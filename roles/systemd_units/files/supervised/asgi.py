"""uvicorn's worker under gunicorn: who is believed what a proxy says, and lines without queries."""

import logging
from typing import Any

try:
    from uvicorn_worker import UvicornWorker
except ImportError:  # a project's older uvicorn brings its own
    from uvicorn.workers import UvicornWorker

from supervised.gunicorn import address_of_client, is_forwarded, is_proxy


def without_query(record: logging.LogRecord) -> bool:
    """Take the query out of a request's line: it can hold what is nobody's business."""
    if isinstance(record.args, tuple) and len(record.args) > 2:
        client, method, path, *rest = record.args
        record.args = (client, method, str(path).partition("?")[0], *rest)
    return True


class FromProxies:
    """Drop what only a proxy may say, if a request comes from somebody else, and tell whose it is."""

    def __init__(self, app: Any) -> None:
        """Stand before the project's application."""
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, or whatever else the server asks."""
        if "headers" in scope:
            client = scope.get("client")
            headers = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in scope["headers"]]
            # Without an address it came by the Unix socket, which is a proxy's.
            if client and not is_proxy(client[0]):
                kept = [one for one, (name, _) in zip(scope["headers"], headers, strict=True) if not is_forwarded(name)]
                scope = scope | {"headers": kept}
            else:
                scope = scope | {"client": address_of_client(headers) or client}
        await self.app(scope, receive, send)


class Worker(UvicornWorker):  # type: ignore[misc, unused-ignore]
    """uvicorn's worker with these two."""

    CONFIG_KWARGS = UvicornWorker.CONFIG_KWARGS | {"proxy_headers": False, "interface": "asgi3"}

    def load_wsgi(self) -> None:
        """Load the project's application."""
        super().load_wsgi()
        self.wsgi: Any = FromProxies(self.app.wsgi())
        logging.getLogger("uvicorn.access").addFilter(without_query)
