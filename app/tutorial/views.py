"""The protected resource and the health check."""

import json
import logging

from django.contrib.auth import get_user_model
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from oauth2_provider.views import IntrospectTokenView as ToolkitIntrospectTokenView
from oauth2_provider.views.generic import ProtectedResourceMetadataView
from oauth2_provider.views.mixins import ProtectedResourceMetadataMixin

logger = logging.getLogger(__name__)


class ApiHello(ProtectedResourceMetadataView):
    """The tutorial's resource (Part 2): readable with a valid access token only."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Greet the bearer of the token."""
        return HttpResponse("Hello, OAuth2!", content_type="text/plain")

    def get_resource_metadata_url(self, request: HttpRequest) -> str:
        """Return where a client without a token learns from whom to get one (RFC 9728)."""
        return request.build_absolute_uri(reverse("resource-metadata"))


class IntrospectTokenView(ProtectedResourceMetadataMixin, ToolkitIntrospectTokenView):
    """The toolkit's, which refuses strangers as RFC 6750 wants it, and says whose a token is (RFC 7662)."""

    @staticmethod
    def get_token_response(token_value: str | None = None) -> JsonResponse:
        """Return the toolkit's answer with the subject of ID tokens, or the client that acts for itself."""
        response: JsonResponse = ToolkitIntrospectTokenView.get_token_response(token_value)
        found = json.loads(response.content)
        if not found.get("active"):
            return response
        found |= {"token_type": "Bearer", "sub": found.get("client_id")}
        if "username" in found:
            named = {get_user_model().USERNAME_FIELD: found["username"]}
            subject = get_user_model()._default_manager.filter(**named).values_list("pk", flat=True).first()
            if subject is None:  # removed at this moment, with the token
                return JsonResponse({"active": False})
            found["sub"] = str(subject)
        return JsonResponse(found)


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Lead to the site's icon, for which browsers ask where a page names none, such as the Admin's."""
    return redirect(static("tutorial/icon.svg"))


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 `ok` if the database answers and was migrated, else 503; the reason goes to the log only."""
    try:
        MigrationRecorder(connection).migration_qs.exists()
    except DatabaseError:
        logger.exception("The database does not answer")
        return HttpResponse("database unavailable", status=503, content_type="text/plain")
    return HttpResponse("ok", content_type="text/plain")
