"""The authorization endpoint names its issuer in every answer, errors included (RFC 9207).

The toolkit does so in successes alone (https://github.com/django-oauth/django-oauth-toolkit/issues/1846).

`prompt=none` and `max_age` are heeded, by which clients ask without a page, or for a fresh log-in (OpenID
Connect Core, section 3.1.2.1); the toolkit fails at the first and ignores the other.
"""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from oauth2_provider.exceptions import FatalClientError
from oauth2_provider.forms import AllowForm
from oauth2_provider.models import AbstractApplication, get_application_model
from oauth2_provider.views import AuthorizationView as ToolkitAuthorizationView
from oauthlib.oauth2 import InvalidClientIdError

from tutorial import audit


class AuthorizationView(ToolkitAuthorizationView):
    """The page on which a user agrees, or doesn't."""

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Ask the user, or answer without, if that is asked for and the user has agreed before."""
        silent = self._is_silent()
        if self._logged_in_too_long_ago():
            return self.handle_no_permission() if silent else self.handle_prompt_login()
        query = request.GET.copy()
        for name in [name for name, values in query.lists() if not any(values)]:
            del query[name]
        if silent:
            query["approval_prompt"] = "auto"
        if not query.get("redirect_uri", "").startswith("https:"):
            # On the user's machine others may answer there in the client's name (RFC 8252, section 8.6).
            query["approval_prompt"] = "force"
        request.GET = query  # type: ignore[assignment]  # a copy is no less a query
        response: HttpResponse = super().get(request, *args, **kwargs)
        return response

    def _is_silent(self) -> bool:
        return "none" in self.request.GET.get("prompt", "").split()

    def _logged_in_too_long_ago(self) -> bool:
        max_age = self.request.GET.get("max_age", "")
        last: Any = self.request.user.last_login
        # Of more digits than that no log-in is too long ago.
        if not (max_age.isdecimal() and len(max_age) < 10):
            return False
        return last is None or (timezone.now() - last).total_seconds() >= int(max_age)

    def handle_prompt_login(self) -> HttpResponse:
        """Ask for a log-in, and then for the rest of what was asked."""
        query = self.request.GET.copy()
        query.pop("max_age", None)
        others = [word for word in query.pop("prompt", [""])[-1].split() if word != "login"]
        if others:
            query["prompt"] = " ".join(others)
        return redirect_to_login(f"{self.request.path}?{query.urlencode()}", self.get_login_url())

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:  # noqa: ANN401  # Django's
        """Show the page, or tell a client that doesn't want one that the user has to be asked."""
        # A form that comes back incomplete has no answer for the client.
        if "error" not in context and self._is_silent() and self.request.method != "POST":
            asked = {"error": "consent_required", "state": self.oauth2_data["state"]}
            answer = urlencode({name: value for name, value in asked.items() if value})
            uri = self.oauth2_data["redirect_uri"]
            return self.redirect(f"{uri}{'&' if '?' in uri else '?'}{answer}", context["application"])
        response: HttpResponse = super().render_to_response(context, **kwargs)
        return response

    def form_valid(self, form: AllowForm) -> HttpResponse:
        """Note what the user has decided, and send the user back."""
        given = form.cleaned_data
        response: HttpResponse
        try:
            response = super().form_valid(form)
        except get_application_model().DoesNotExist:
            # Removed since the page was made.
            response = self.error_response(FatalClientError(InvalidClientIdError()), None)
            return response
        event = "consent" if given["allow"] else "consent refused"
        audit.record(event, self.request.user, client=given["client_id"], scope=given["scope"])
        return response

    def redirect(self, redirect_to: str, application: AbstractApplication | None) -> HttpResponse:
        """Send the user back to the client."""
        # At /o/authorize/ it is https://HOST/o, at /authorize/ https://HOST, as in the metadata.
        issuer = self.request.build_absolute_uri(self.request.path).rstrip("/").removesuffix("/authorize")
        parts = urlsplit(redirect_to)
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "iss"]
        uri = parts._replace(query=urlencode([*query, ("iss", issuer)])).geturl()
        response: HttpResponse = super().redirect(uri, application)
        return response
