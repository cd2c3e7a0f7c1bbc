"""The page on which users see which applications act for them, and take that back.

The toolkit's page of this kind lists tokens, one by one, expired ones as well.
"""

from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.generic import ListView
from oauth2_provider import models as toolkit
from oauth2_provider.models import AbstractApplication

from tutorial import audit


class AuthorizedApplicationsView(LoginRequiredMixin, ListView):  # type: ignore[type-arg]  # Django's isn't generic
    """Lists them; a POST takes back what the user allowed one of them."""

    template_name = "tutorial/authorized.html"

    def get_queryset(self) -> QuerySet[AbstractApplication]:
        """Return the applications that have tokens of the user which are still good."""
        of_user = {"user": self.request.user}
        refresh = toolkit.get_refresh_token_model().objects.filter(**of_user, revoked=None)
        access = toolkit.get_access_token_model().objects.filter(**of_user, expires__gt=timezone.now())
        owners = [Q(pk__in=tokens.values("application")) for tokens in (refresh, access)]
        found: QuerySet[AbstractApplication] = toolkit.get_application_model().objects.filter(
            owners[0] | owners[1]
        )
        return found.order_by("name", "pk")

    def post(self, request: HttpRequest) -> HttpResponse:
        """End all that the application got from the user."""
        number = request.POST.get("application", "")
        application = get_object_or_404(self.get_queryset(), pk=number if number.isdecimal() else None)
        theirs = {"user": request.user, "application": application}
        refresh = toolkit.get_refresh_token_model()
        with transaction.atomic(using=router.db_for_write(refresh)):
            # Refresh tokens first, as everywhere where both are locked.
            for token in refresh.objects.select_for_update().filter(**theirs, revoked=None):
                token.revoke()
            for model in (toolkit.get_access_token_model(), toolkit.get_grant_model()):
                model.objects.filter(**theirs).delete()
        audit.record("consent taken back", request.user, client=application.client_id)
        return redirect("authorized-applications")
