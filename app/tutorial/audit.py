"""What happens to accounts, applications and tokens: one JSON object a line, under an identifier of its own.

A line has `event`, and as far as they are known `user`, `client` (its ID), `address`, `grant` and `scope`. It
never has a secret: a name that no user has may be a password that was typed into the wrong field.
"""

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from allauth.account import signals as account_signals
from allauth.mfa import signals as mfa_signals
from django.contrib.auth import get_user_model, user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest, HttpResponse
from oauth2_provider.models import AbstractApplication, get_application_model

logger = logging.getLogger("tutorial.audit")
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Let lines tell from whose address a request came."""

    def remember(request: HttpRequest) -> HttpResponse:
        token = _request.set(request)
        try:
            return get_response(request)
        finally:
            _request.reset(token)

    return remember


def record(event: str, user: Any = None, **more: object) -> None:  # noqa: ANN401  # any user model
    """Write a line; what has no value is left out."""
    request = _request.get()
    name = user.get_username() if user is not None else ""
    known = {"user": name, "address": request and request.META.get("REMOTE_ADDR"), **more}
    logger.info(json.dumps({"event": event} | {key: value for key, value in known.items() if value}))


def connect() -> None:
    """Listen to what Django tells of accounts, and to changes of applications, wherever they are made."""
    user_logged_in.connect(_logged_in)
    user_logged_out.connect(_logged_out)
    user_login_failed.connect(_login_failed)
    for event, signal in {
        "password changed": account_signals.password_changed,
        "password reset": account_signals.password_reset,
        "second factor added": mfa_signals.authenticator_added,
        "second factor changed": mfa_signals.authenticator_reset,
        "second factor removed": mfa_signals.authenticator_removed,
        "second factor failed": mfa_signals.authentication_failed,
    }.items():
        signal.connect(partial(_of_account, event), weak=False)
    application = get_application_model()
    post_save.connect(_saved, sender=application)
    post_delete.connect(_deleted, sender=application)


def _logged_in(user: object, **_: object) -> None:
    record("log-in", user)


def _logged_out(user: object, **_: object) -> None:
    record("log-out", user)


def _of_account(event: str, user: object, **_: object) -> None:
    record(event, user)


def known_user(credentials: dict[str, Any]) -> object:
    """Return the user with that name, or nothing."""
    model = get_user_model()
    name = credentials.get(model.USERNAME_FIELD, credentials.get("username"))
    return (name and model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()) or None


def _login_failed(credentials: dict[str, Any], **_: object) -> None:
    record("log-in failed", known_user(credentials))


def _who() -> object:
    user = getattr(_request.get(), "user", None)
    return user if user is not None and user.is_authenticated else None


def _saved(instance: AbstractApplication, created: bool, **_: object) -> None:
    record(f"application {'created' if created else 'changed'}", _who(), client=instance.client_id)


def _deleted(instance: AbstractApplication, **_: object) -> None:
    record("application deleted", _who(), client=instance.client_id)
