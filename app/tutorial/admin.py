"""The Admin's page of periodic tasks, which says so when the broker is away."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatPeriodicTaskAdmin):
    """django-celery-beat's page."""

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Send the selected tasks to the broker, or tell that it can't be reached."""
        try:
            super().run_tasks(request, queryset)
        except OperationalError as error:
            self.message_user(
                request, f"The broker can't be reached, nothing was run: {error}", messages.ERROR
            )
