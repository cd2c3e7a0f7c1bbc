"""The Celery application: `celery -A tutorial worker`, `celery -A tutorial beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tutorial.settings")

# No broker= here, unlike in the tutorial: the argument would beat CELERY_BROKER_URL.
app = Celery("tutorial", task_cls="tutorial.queues:Task")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
