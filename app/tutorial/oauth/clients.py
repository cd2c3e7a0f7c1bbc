"""What clients of other servers send, and the toolkit doesn't take.

Parameters without a value are as if they weren't there (RFC 6749, section 3.1), `basic` is spelt in any way
(RFC 9110, section 11.1), credentials in it may not be encoded, and beside `openid` scopes that a server
doesn't know are ignored (OpenID Connect Core, section 3.1.2.1): `offline_access`, say.
"""

import binascii
import re
from base64 import b64decode, b64encode
from contextlib import suppress
from urllib.parse import quote

from django.http import HttpRequest
from oauth2_provider.models import AbstractApplication
from oauth2_provider.oauth2_backends import OAuthLibCore as ToolkitCore
from oauth2_provider.oauth2_validators import OAuth2Validator as ToolkitValidator
from oauth2_provider.scopes import get_scopes_backend
from oauthlib.common import Request

Answer = tuple[str | None, dict[str, str], str, int]


class OAuthLibCore(ToolkitCore):
    """Translates requests for oauthlib, and its answers."""

    def _get_escaped_full_path(self, request: HttpRequest) -> str:
        path, _, query = super()._get_escaped_full_path(request).partition("?")
        kept = "&".join(part for part in query.split("&") if not re.fullmatch("[^=]+=", part))
        return f"{path}?{kept}" if kept else path

    def extract_body(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Return the form's parameters."""
        return [(name, value) for name, value in super().extract_body(request) if value]

    def create_token_response(self, request: HttpRequest) -> Answer:
        """Return address, headers, body and status."""
        return _corrected(request, super().create_token_response(request))

    def create_revocation_response(self, request: HttpRequest) -> Answer:
        """Return address, headers, body and status."""
        return _corrected(request, super().create_revocation_response(request))


def _corrected(request: HttpRequest, answer: Answer) -> Answer:
    """Let errors be JSON, and name the scheme that the client has used (RFC 6749, section 5.2)."""
    uri, headers, body, status = answer
    if status >= 400:
        headers = {"Content-Type": "application/json"} | headers
    if status == 401 and request.headers.get("Authorization", "").lower().startswith("basic "):
        headers |= {"WWW-Authenticate": 'Basic realm="clients"'}
    return uri, headers, body, status


def known_scopes(scopes: list[str], application: AbstractApplication | None) -> list[str]:
    """Return the scopes without those that are ignored."""
    available = get_scopes_backend().get_available_scopes(application=application)
    if "openid" in scopes and "openid" in available:
        return [scope for scope in scopes if scope in available]
    return scopes


class OAuth2Validator(ToolkitValidator):
    """The toolkit's decisions about scopes and clients' credentials."""

    def _extract_basic_auth(self, request: Request) -> str | None:
        scheme, _, credentials = request.headers.get("HTTP_AUTHORIZATION", "").partition(" ")
        return credentials.strip() or None if scheme.lower() == "basic" else None

    def _authenticate_basic_auth(self, request: Request) -> bool:
        if super()._authenticate_basic_auth(request):
            return True
        with suppress(binascii.Error, UnicodeDecodeError):
            plain = b64decode(self._extract_basic_auth(request) or "").decode()
            if re.search("[+%]", plain):
                encoded = ":".join(quote(part, safe="") for part in plain.split(":", 1))
                request.headers["HTTP_AUTHORIZATION"] = f"Basic {b64encode(encoded.encode()).decode()}"
                return bool(super()._authenticate_basic_auth(request))
        return False

    def validate_scopes(
        self,
        client_id: str,
        scopes: list[str],
        client: AbstractApplication,
        request: Request,
        *args: object,
    ) -> bool:
        """Tell whether the client may have the scopes, after those that are ignored are taken out."""
        scopes[:] = known_scopes(scopes, client)
        return bool(super().validate_scopes(client_id, scopes, client, request, *args))

    def is_within_original_scope(
        self, request_scopes: list[str], refresh_token: str, request: Request, *args: object
    ) -> bool:
        """Tell the same of scopes that are asked for with a refresh token."""
        original = self.get_original_scopes(refresh_token, request).split()
        request_scopes[:] = known_scopes(request_scopes, request.client)
        return set(request_scopes) <= set(original)

    def validate_silent_login(self, request: Request) -> bool:
        """Leave it to the view, which knows the user."""
        return True

    def validate_silent_authorization(self, request: Request) -> bool:
        """Leave it to the view, which knows the user."""
        return True
