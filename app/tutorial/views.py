"""The protected resource and the health check."""

import logging

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
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
    """The toolkit's, which refuses strangers as RFC 6750 wants it."""


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
