"""Log-in, passwords and second factors: django-allauth's, as far as this site needs them otherwise."""

import logging
from collections.abc import Callable
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.account.views import PasswordResetView as AllauthPasswordResetView
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from tutorial import audit

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    """What allauth asks the site."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address whose attempts are counted, as gunicorn has it from a trusted proxy."""
        # A Unix socket has none, and allauth would refuse to log anybody in.
        return request.META.get("REMOTE_ADDR") or "local"

    def is_safe_url(self, url: str | None) -> bool:
        """Tell whether an address is on this site, whatever its length; the query has no say in that."""
        try:
            return bool(super().is_safe_url((url or "").partition("?")[0]))
        except ValueError:  # no address at all
            return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:  # noqa: ANN401  # allauth's
        """Count the attempt, and note a lockout.

        Raises:
            ValidationError: there were too many.
        """
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            audit.record("log-in locked", audit.known_user(credentials))
            raise

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send it, or log why not: the page must not tell whether there is such a user."""
        try:
            super().send_mail(template_prefix, email, context)
        except OSError:  # the mail server's refusals, too
            logger.exception("A message can't be sent")


class LoginForm(AllauthLoginForm):
    """allauth's, with the field names of Django's own form, which browsers have stored and scripts send."""

    def add_prefix(self, field_name: str) -> str:
        """Return a field's name in the page."""
        name: str = super().add_prefix("username" if field_name == "login" else field_name)
        return name


class PasswordResetView(AllauthPasswordResetView):
    """allauth's, which would promise a message even where none can be sent."""

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Say so where there is no mail server."""
        if not settings.EMAIL_HOST:
            return render(request, "account/no_mail.html")
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response


def second_factor_for_staff(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Lead staff without a second factor to the page that gives them one, where the settings ask for it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        # Requests of clients have no session, which isn't looked up for them.
        if settings.SECOND_FACTOR_FOR_STAFF and settings.SESSION_COOKIE_NAME in request.COOKIES:
            open_to_all = ("account_reauthenticate", "account_logout", "mfa_index")
            user = request.user
            if (
                user.is_authenticated
                and user.is_staff
                and not request.path.startswith((*map(reverse, open_to_all), f"/{settings.STATIC_URL}"))
                and not is_mfa_enabled(user, [Authenticator.Type.TOTP])
            ):
                return redirect("mfa_activate_totp")
        return get_response(request)

    return middleware
