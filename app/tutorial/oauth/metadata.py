"""The server's description of itself (RFC 8414), complete."""

import json

from django.http import HttpRequest, JsonResponse
from oauth2_provider.views import OAuthServerMetadataView


class MetadataView(OAuthServerMetadataView):
    """Tells clients where everything is, the device flow's endpoint included (RFC 8628, section 4)."""

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> JsonResponse:
        """Return the toolkit's document with what it lacks."""
        response = super().get(request, *args, **kwargs)
        data = json.loads(response.content)
        data["device_authorization_endpoint"] = self._get_endpoint_url(request, "device-authorization")
        return JsonResponse(data, headers={"Access-Control-Allow-Origin": "*"})
