"""Which redirect URIs and origins applications may have.

The toolkit knows schemes alone, for all applications: with http for native apps, which RFC 8252 (section 7.3)
wants, it takes http to any host. Here http stays on the user's machine, and a refusal says what to do.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from environs import ValidationError as EnvironmentValidationError

LOOPBACK = {"127.0.0.1", "::1"}
# Those of browsers, which would run or show what comes after them, and those that others answer.
NOT_PRIVATE = {
    "about",
    "blob",
    "data",
    "file",
    "filesystem",
    "ftp",
    "http",
    "https",
    "javascript",
    "vbscript",
    "ws",
    "wss",
}


def are_private_schemes(schemes: Iterable[str]) -> None:
    """Refuse what can't be the scheme of a native app.

    Raises:
        environs.ValidationError: one of them is misspelt, or browsers know it.
    """
    for scheme in schemes:
        if not re.fullmatch(r"[a-z][a-z0-9.+-]*", scheme) or scheme in NOT_PRIVATE:
            raise EnvironmentValidationError(
                f"{scheme!r} is no scheme of a native app, such as com.example.app."
            )


def are_local_origins(origins: Iterable[str]) -> None:
    """Refuse what isn't on the machine of who writes a web app.

    Raises:
        environs.ValidationError: one of them isn't http, localhost and perhaps a port.
    """
    for origin in origins:
        if not re.fullmatch(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[1-9][0-9]{0,4})?", origin):
            raise EnvironmentValidationError(f"{origin!r} is no local origin, such as http://localhost:3000.")


def refusal(uri: str) -> str | None:
    """Return why no application may have this redirect URI or origin, and what to do; None if it may."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{uri}: this is no URI."
    origin = f"{parts.scheme}://{parts.netloc}"
    local = parts.scheme == "http" and parts.hostname in LOOPBACK and "@" not in parts.netloc
    if (
        parts.scheme in {"https", *settings.OAUTH_REDIRECT_SCHEMES}
        or local
        or origin in settings.OAUTH_DEVELOPMENT_ORIGINS
    ):
        return None
    if parts.scheme != "http":
        return (
            f"{uri}: the server's operator lists the scheme of a native app, {parts.scheme!r}, in "
            "django_app_oauth_redirect_schemes (OAUTH_REDIRECT_SCHEMES)."
        )
    if parts.hostname == "localhost":
        return (
            f"{uri}: a native app writes 127.0.0.1 or [::1] instead of localhost; while a web app is "
            f"written, the server's operator lists {origin} in django_app_oauth_development_origins "
            "(OAUTH_DEVELOPMENT_ORIGINS)."
        )
    return f"{uri}: http is only for the user's own machine (http://127.0.0.1/, any port); write https."


def validate_uris(text: str) -> None:
    """Refuse what can't be a redirect URI or origin; those in `text` are separated by blanks.

    Raises:
        ValidationError: one message for each.
    """
    if refusals := [message for uri in text.split() if (message := refusal(uri))]:
        raise ValidationError([ValidationError(message, code="insecure_uri") for message in refusals])
