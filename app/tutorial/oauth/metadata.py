"""The server's description of itself (RFC 8414, OpenID Connect Discovery), where clients look for it.

Clients make the address of an issuer's name, and want to find that very name there. The toolkit answers below
its own prefix alone (https://github.com/django-oauth/django-oauth-toolkit/issues/1099).
"""

import json

from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from oauth2_provider.views import (
    ConnectDiscoveryInfoView,
    OAuthProtectedResourceMetadataView,
    OAuthServerMetadataView,
)

SERVER = ".well-known/oauth-authorization-server"
RESOURCE = ".well-known/oauth-protected-resource"
OPENID = ".well-known/openid-configuration"
# They tell by their address which issuer they answer for (RFC 9207; `iss` in ID tokens).
OF_ISSUER = ["authorize", "token", "rp-initiated-logout"]


class MetadataView(OAuthServerMetadataView):
    """Tells clients where everything is, the device flow's endpoint included (RFC 8628, section 4)."""

    root = False  # true of https://HOST, false of https://HOST/o

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> JsonResponse:
        """Return the toolkit's document with what it lacks."""
        response = super().get(request, *args, **kwargs)
        data = json.loads(response.content)
        data["issuer"] = request.build_absolute_uri("/" if self.root else "/o").rstrip("/")
        data["device_authorization_endpoint"] = self._get_endpoint_url(request, "device-authorization")
        data["response_modes_supported"] = ["query"]
        # Clients without a secret name themselves; but nobody learns of tokens without authentication.
        for endpoint in ("token", "revocation"):
            data[f"{endpoint}_endpoint_auth_methods_supported"].append("none")
        return JsonResponse(data, headers={"Access-Control-Allow-Origin": "*"})

    def _get_endpoint_url(self, request: HttpRequest, view_name: str, required: bool = False) -> str | None:
        if self.root and view_name in OF_ISSUER:
            return request.build_absolute_uri(reverse(view_name))
        url: str | None = super()._get_endpoint_url(request, view_name, required)
        return url


class DiscoveryView(ConnectDiscoveryInfoView):
    """The same for clients that speak OpenID Connect."""

    root = False

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> JsonResponse:
        """Return what both documents say, without HS256, whose secrets would be stored in plain text."""
        found = json.loads(super().get(request, *args, **kwargs).content)
        found["id_token_signing_alg_values_supported"] = ["RS256"]
        metadata = MetadataView(root=self.root)
        found |= json.loads(metadata.get(request).content)
        found["request_uri_parameter_supported"] = False  # what is left out counts as true
        found["end_session_endpoint"] = metadata._get_endpoint_url(request, "rp-initiated-logout")
        return JsonResponse(found, headers={"Access-Control-Allow-Origin": "*"})


# For the issuers https://HOST and https://HOST/o, and for resources (RFC 9728).
urlpatterns = [
    path(SERVER, MetadataView.as_view(root=True), name="metadata"),
    path(f"{SERVER}/o", MetadataView.as_view()),
    path(OPENID, DiscoveryView.as_view(root=True)),
    path(f"{OPENID}/o", DiscoveryView.as_view()),
    path(RESOURCE, OAuthProtectedResourceMetadataView.as_view()),
    path(f"{RESOURCE}/api/hello", OAuthProtectedResourceMetadataView.as_view(), name="resource-metadata"),
]
