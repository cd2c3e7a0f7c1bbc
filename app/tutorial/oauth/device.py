"""The device flow (RFC 8628), complete: where users go, which scopes there are, codes that end.

The toolkit knows the page's address only as a setting, which can't hold for several host names
(asked for in https://github.com/django-oauth/django-oauth-toolkit/pull/1539), and its library checks no
scopes (https://github.com/oauthlib/oauthlib/issues/949).
"""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from oauth2_provider.models import AbstractApplication, get_application_model, get_device_grant_model
from oauth2_provider.scopes import get_scopes_backend
from oauth2_provider.views import DeviceAuthorizationView as ToolkitDeviceAuthorizationView
from oauth2_provider.views import TokenView as ToolkitTokenView
from oauthlib.oauth2 import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
)

from tutorial.middleware import basic_credentials
from tutorial.oauth.clients import known_scopes

DEVICE_CODE = AbstractApplication.GRANT_DEVICE_CODE


@method_decorator(never_cache, name="dispatch")
class DeviceAuthorizationView(ToolkitDeviceAuthorizationView):
    """Gives a device its code and the address that it shows to its user."""

    def create_device_authorization_response(self, request: HttpRequest) -> tuple[dict[str, str], Any, int]:
        """Return headers, the response (JSON text if it is an error) and the status."""
        if "client_id" not in request.POST and (given := basic_credentials(request)):
            # A client that authenticates itself need not name itself again (section 3.1).
            form = request.POST.copy()
            form["client_id"] = given[0]
            request.POST = form  # type: ignore[assignment]  # a copy is no less a form
        if "client_id" not in request.POST:  # oauthlib also takes it from the query
            return {}, InvalidRequestError("Missing client_id parameter.").json, 400
        request.META["CONTENT_TYPE"] = request.content_type  # oauthlib takes none that names a charset
        headers, response, status = super().create_device_authorization_response(request)
        if status != 200:
            return headers, response, status
        application = get_application_model().objects.get(client_id=request.POST["client_id"])
        if not application.allows_grant_type(application.GRANT_DEVICE_CODE):
            return {}, UnauthorizedClientError().json, 400
        scopes = known_scopes(request.POST.get("scope", "").split(), application)
        form = request.POST.copy()
        form["scope"] = " ".join(scopes)  # what the toolkit stores
        request.POST = form  # type: ignore[assignment]  # a copy is no less a form
        if not set(scopes) <= set(get_scopes_backend().get_available_scopes(application=application)):
            return {}, InvalidScopeError().json, 400
        page = request.build_absolute_uri(reverse("oauth2_provider:device"))
        response["verification_uri"] = page
        response["verification_uri_complete"] = f"{page}?{urlencode({'user_code': response['user_code']})}"
        return headers, response, status


class TokenView(ToolkitTokenView):
    """The token endpoint."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Refuse a device that shows no code."""
        if request.POST.get("grant_type") == DEVICE_CODE and "device_code" not in request.POST:
            return error_response(InvalidRequestError("Missing device_code parameter."))
        response: HttpResponse = super().post(request, *args, **kwargs)
        return response

    def device_flow_token_response(
        self, request: HttpRequest, device_code: str, *args: object, **kwargs: object
    ) -> HttpResponse:
        """Refuse a code that is unknown, which the toolkit says in words of its own, or that has expired."""
        device = get_device_grant_model().objects.filter(device_code=device_code).first()
        if device is None:
            return error_response(InvalidGrantError())
        device.is_expired()  # notes it
        response: HttpResponse = super().device_flow_token_response(request, device_code, *args, **kwargs)
        return response


def error_response(error: OAuth2Error) -> HttpResponse:
    """Return the error as RFC 6749 (section 5.2) wants it."""
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"} | error.headers
    return HttpResponse(
        error.json, status=error.status_code, content_type="application/json", headers=headers
    )
