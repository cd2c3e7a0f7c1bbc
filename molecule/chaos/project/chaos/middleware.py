"""Requests that misbehave."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def hang(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Never answer a request for /hang."""

    def middleware(request: HttpRequest) -> HttpResponse:
        while request.path == "/hang":
            time.sleep(1)
        return get_response(request)

    return middleware
