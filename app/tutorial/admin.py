"""The Admin's log-in, which is the site's; its pages of the schedule, which say what can't be run."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from celery.schedules import ParseException, crontab
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from kombu.exceptions import OperationalError

# With its limits and second factor; who may not enter gets 403.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.unregister([CrontabSchedule, PeriodicTask])


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
        except (TypeError, ValueError, RecursionError) as error:
            # Arguments that are no JSON or too deep, or that the task doesn't take.
            self.message_user(
                request, f"A task can't be run with the arguments of its row: {error}", messages.ERROR
            )


class CrontabForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's isn't generic at run time
    """Takes what Celery can read; the model's own checks are of cron, which takes 7 for Sunday."""

    def clean(self) -> dict[str, Any] | None:
        """Refuse times that are none."""
        names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
        try:
            crontab(**{name: self.cleaned_data.get(name, "*") for name in names})
        except (ParseException, ValueError) as error:
            raise ValidationError(f"Celery can't read this schedule: {error}") from error
        return super().clean()


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabScheduleAdmin):
    """django-celery-beat's page."""

    form = CrontabForm

    def human_readable(self, schedule: CrontabSchedule) -> str:
        """Return the times in words; the model fails at what Celery can't read."""
        try:
            return str(schedule.human_readable)
        except ParseException:
            return "-"
