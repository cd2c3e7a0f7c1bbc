"""The Admin's log-in, which is the site's; its page of periodic tasks, which says what can't be run."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

# With its limits and second factor; who may not enter gets 403.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatPeriodicTaskAdmin):
    """django-celery-beat's page."""

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Send the selected tasks to the broker, or tell what keeps them from being run."""
        try:
            super().run_tasks(request, queryset)
        except OperationalError as error:
            self.message_user(
                request, f"The broker can't be reached, nothing was run: {error}", messages.ERROR
            )
        except (TypeError, ValueError) as error:
            # Arguments that are no JSON, or that the task doesn't take.
            self.message_user(
                request, f"A task can't be run with the arguments of its row: {error}", messages.ERROR
            )
