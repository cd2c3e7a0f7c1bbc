"""The maintenance chores that the schedule in the database refers to.

Each may be run again after a crash, so it is acknowledged late (CELERY_TASK_ACKS_LATE). The settings
send all tasks in this module to the queue of which one worker takes at a time.
"""

import logging
from importlib import import_module

from celery import shared_task
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.utils import timezone
from oauth2_provider.models import get_device_grant_model

from tutorial.batches import delete_in_batches
from tutorial.cleanup import Mark, clear_expired

logger = logging.getLogger(__name__)
# Seconds after which a chore ends, to go on at its next run: a backlog is no failure, and others wait.
TIME = (settings.CELERY_TASK_SOFT_TIME_LIMIT or 300) / 5
_mark = Mark()  # in each process of the worker


@shared_task
def clear_tokens() -> None:
    """Delete expired access tokens, ID tokens and grants, and refresh tokens past their life."""
    clear_expired(_mark, seconds=TIME)


@shared_task
def clear_sessions() -> None:
    """Delete the expired login sessions, which Django itself never does."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if not issubclass(store, SessionStore):
        call_command("clearsessions")
        return
    sessions = store.get_model_class()._default_manager.filter(expire_date__lt=timezone.now())
    done = delete_in_batches(sessions, "expire_date", seconds=TIME)
    logger.info("%s Expired sessions deleted", done.deleted)


@shared_task
def clear_device_grants() -> None:
    """Delete the expired codes of devices, which the toolkit itself never does."""
    grants = get_device_grant_model()._default_manager.filter(expires__lt=timezone.now())
    done = delete_in_batches(grants, "pk", seconds=TIME)
    logger.info("%s Expired device grants deleted", done.deleted)


@shared_task
def clear_cimd_applications() -> None:
    """Delete applications that were registered by a metadata document which has expired, and are unused."""
    call_command("clearcimdapplications")
