"""The protected resource and the health check."""

import logging

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from oauth2_provider.views.generic import ProtectedResourceView

logger = logging.getLogger(__name__)


class ApiHello(ProtectedResourceView):
    """The tutorial's resource (Part 2): readable with a valid access token only."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Greet the bearer of the token."""
        return HttpResponse("Hello, OAuth2!", content_type="text/plain")


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
