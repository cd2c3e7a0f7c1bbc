"""The maintenance chores that the schedule in the database refers to."""

from celery import shared_task
from django.core.management import call_command

from tutorial.cleanup import clear_expired


@shared_task
def clear_tokens() -> None:
    """Delete expired access tokens and grants, and refresh tokens past their life.

    Safe to run again after a crash, hence acknowledged late (CELERY_TASK_ACKS_LATE).
    """
    clear_expired()


@shared_task
def clear_sessions() -> None:
    """Delete the expired login sessions, which Django itself never does."""
    call_command("clearsessions")
