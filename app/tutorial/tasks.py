"""The maintenance chores that the schedule in the database refers to.

Each may be run again after a crash, and is acknowledged late therefore (CELERY_TASK_ACKS_LATE). The settings
send all tasks in this module to the queue of which one worker takes at a time.
"""

import logging

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone
from oauth2_provider.models import get_device_grant_model

from tutorial.cleanup import clear_expired

logger = logging.getLogger(__name__)


@shared_task
def clear_tokens() -> None:
    """Delete expired access tokens, ID tokens and grants, and refresh tokens past their life."""
    clear_expired()


@shared_task
def clear_sessions() -> None:
    """Delete the expired login sessions, which Django itself never does."""
    call_command("clearsessions")


@shared_task
def clear_device_grants() -> None:
    """Delete the expired codes of devices, which the toolkit itself never does."""
    grants = get_device_grant_model()._default_manager.filter(expires__lt=timezone.now())
    deleted, _ = grants.delete()
    logger.info("%s Expired device grants deleted", deleted)


@shared_task
def clear_cimd_applications() -> None:
    """Delete applications that were registered by a metadata document which has expired, and are unused."""
    call_command("clearcimdapplications")
