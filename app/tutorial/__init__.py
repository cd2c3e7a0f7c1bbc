"""The django-oauth-toolkit tutorial's project, made ready for production."""

# Imported with Django, so that shared_task always finds this app and its broker.
from tutorial.celery import app as celery_app

__all__ = ["celery_app"]
