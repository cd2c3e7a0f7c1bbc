"""The authorization endpoint names its issuer in every answer, errors included (RFC 9207).

The toolkit does so in successes alone (https://github.com/django-oauth/django-oauth-toolkit/issues/1846).
"""

from urllib.parse import parse_qsl, urlencode, urlsplit

from django.http import HttpResponse
from oauth2_provider.forms import AllowForm
from oauth2_provider.models import AbstractApplication
from oauth2_provider.views import AuthorizationView as ToolkitAuthorizationView

from tutorial import audit


class AuthorizationView(ToolkitAuthorizationView):
    """The page on which a user agrees, or doesn't."""

    def form_valid(self, form: AllowForm) -> HttpResponse:
        """Note what the user has decided, and send the user back."""
        response: HttpResponse = super().form_valid(form)
        given = form.cleaned_data
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
