"""What requests are made of before the project sees them."""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO, cast
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]


def chunked_bodies(get_response: GetResponse) -> GetResponse:
    """Let bodies come in pieces, without their length (https://code.djangoproject.com/ticket/28668)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if isinstance(request, WSGIRequest) and "HTTP_TRANSFER_ENCODING" in request.META:
            body = read_chunked(request)
            input_ = {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
            request = WSGIRequest(request.environ | input_)
        return get_response(request)

    return middleware


def read_chunked(request: WSGIRequest) -> bytes:
    """Return the body.

    Raises:
        BadRequest: it isn't chunked, or not well.
        RequestDataTooBig: it has more than DATA_UPLOAD_MAX_MEMORY_SIZE bytes.
    """
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    stream = request.environ["wsgi.input"]
    if request.headers["Transfer-Encoding"].lower() != "chunked" or request.META.get("CONTENT_LENGTH"):
        raise BadRequest("This is no chunked body.")
    if request.environ.get("wsgi.input_terminated"):
        # gunicorn puts the pieces together, and has errors of its own for bad ones.
        try:
            body = cast("bytes", stream.read(most + 1))
        except Exception as error:
            raise BadRequest("The chunks are not well formed.") from error
    else:
        stream.limit = 2 * most  # Django's development server takes a missing length for none
        body = join_chunks(stream, most)
    if len(body) > most:
        raise RequestDataTooBig("The request's body has more than DATA_UPLOAD_MAX_MEMORY_SIZE bytes.")
    return body


def join_chunks(stream: BinaryIO, most: int) -> bytes:
    """Return what the chunks hold (RFC 9112, section 7.1), or a part that has more than `most` bytes.

    Raises:
        BadRequest: a chunk isn't as long as it says.
    """
    body = b""
    while len(body) <= most:
        try:
            size = int(stream.readline(100).partition(b";")[0].strip(), 16)
        except ValueError:
            raise BadRequest("A chunk has no length.") from None
        if size == 0:
            while stream.readline(1000).strip():  # trailers
                pass
            break
        if not 0 < size <= most:
            raise BadRequest("A chunk is too long.")
        chunk = stream.read(size)
        if len(chunk) < size or stream.readline(2) != b"\r\n":
            raise BadRequest("A chunk isn't as long as it says.")
        body += chunk
    return body


def well_formed(get_response: GetResponse) -> GetResponse:
    """Refuse what libraries take for an error of the program, such as NUL, or a % that encodes nothing."""

    def middleware(request: HttpRequest) -> HttpResponse:
        # Forms and queries are UTF-8 (RFC 6749, appendix B), whatever charset the request names.
        request.encoding = "utf-8"
        if re.search("%(?![0-9A-Fa-f]{2})", request.META.get("QUERY_STRING", "")):
            raise BadRequest("The query isn't encoded well.")
        values = [request.path, *request.COOKIES.values(), *basic_credentials(request)]
        values += [value for name, value in request.META.items() if name.startswith("HTTP_")]
        for parameters in (request.GET, request.POST):
            for name, found in parameters.lists():
                values += [name, *(value for value in found if isinstance(value, str))]
        if any("\0" in value for value in values):
            raise BadRequest("The request has a NUL character.")
        return get_response(request)

    return middleware


def basic_credentials(request: HttpRequest) -> list[str]:
    """Return client ID and secret, as far as they are there.

    Raises:
        BadRequest: the header isn't ASCII.
    """
    header = request.headers.get("Authorization", "")
    if not header.isascii():
        raise BadRequest("The header Authorization isn't ASCII.")
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        return []
    with suppress(binascii.Error):
        return [unquote(part) for part in b64decode(credentials).decode("latin-1").split(":", 1)]
    return []
