"""The server's description of itself (RFC 8414), complete and at the addresses where clients look for it.

Clients make the address of an issuer's name, and want to find that very name there. The toolkit answers below
its own prefix alone (https://github.com/django-oauth/django-oauth-toolkit/issues/1099).
"""

import json

from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from oauth2_provider.views import OAuthProtectedResourceMetadataView, OAuthServerMetadataView

SERVER = ".well-known/oauth-authorization-server"
RESOURCE = ".well-known/oauth-protected-resource"


class MetadataView(OAuthServerMetadataView):
    """Tells clients where everything is, the device flow's endpoint included (RFC 8628, section 4)."""

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> JsonResponse:
        """Return the toolkit's document with what it lacks."""
        response = super().get(request, *args, **kwargs)
        data = json.loads(response.content)
        data["device_authorization_endpoint"] = self._get_endpoint_url(request, "device-authorization")
        # Clients without a secret name themselves; but nobody learns of tokens without authentication.
        for endpoint in ("token", "revocation"):
            data[f"{endpoint}_endpoint_auth_methods_supported"].append("none")
        if request.path == f"/{SERVER}":
            # The endpoint tells by its address which issuer its answers come from (RFC 9207).
            data["authorization_endpoint"] = request.build_absolute_uri(reverse("authorize"))
        return JsonResponse(data, headers={"Access-Control-Allow-Origin": "*"})


# For the issuers https://HOST and https://HOST/o, and for resources (RFC 9728).
urlpatterns = [
    path(SERVER, MetadataView.as_view(), name="metadata"),
    path(f"{SERVER}/o", MetadataView.as_view()),
    path(RESOURCE, OAuthProtectedResourceMetadataView.as_view()),
    path(f"{RESOURCE}/api/hello", OAuthProtectedResourceMetadataView.as_view(), name="resource-metadata"),
]
