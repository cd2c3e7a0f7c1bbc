"""Which scripts of other origins may ask the API and the endpoints for tokens (CORS).

The toolkit heeds an application's *Allowed origins* in the token's answer alone, which comes too late:
browsers ask for permission first, without saying for which application.
"""

import re

from django.conf import settings
from django.http import HttpRequest
from oauth2_provider.models import get_application_model

from tutorial.oauth import redirects


def is_allowed(request: HttpRequest, **_: object) -> bool:
    """Tell whether an application lists the origin; corsheaders also allows those that settings list."""
    if not re.match(settings.CORS_URLS_REGEX, request.path):
        return False
    if "/.well-known/" in request.path:
        return True  # for everybody to read
    origin = request.headers.get("Origin", "")
    applications = get_application_model()._default_manager.filter(allowed_origins__contains=origin)
    return not redirects.refusal(origin) and any(found.origin_allowed(origin) for found in applications)
