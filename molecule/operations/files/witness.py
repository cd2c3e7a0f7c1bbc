"""What has to be there after a restore; run by manage.py shell. Standard input: `issue`, `write SECONDS` or `read`."""

import json
import secrets
import sys
import time
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from oauth2_provider.models import AccessToken, Application
from tutorial import schema

verb, *rest = sys.stdin.read().split()
now = timezone.now()
if verb == "issue":
    user, _ = get_user_model().objects.get_or_create(username="witness")
    application, _ = Application.objects.get_or_create(
        name="witness", user=user, client_type="confidential", authorization_grant_type="client-credentials"
    )
    token = secrets.token_hex()
    AccessToken.objects.create(user=user, application=application, token=token, expires=now + timedelta(days=1))
    # As somebody would in the Admin: a schedule that no fixture has.
    task = PeriodicTask.objects.get(name="clear expired device grants")
    task.description = "changed by hand"
    task.save()
    print(token)
elif verb == "write":
    user = get_user_model().objects.get(username="witness")
    application = Application.objects.get(name="witness")
    end, written = time.monotonic() + float(rest[0]), 0
    while time.monotonic() < end:
        AccessToken.objects.create(
            user=user, application=application, token=secrets.token_hex(), expires=now + timedelta(days=1)
        )
        Session.objects.create(
            session_key=secrets.token_hex(16), session_data="x" * 2000, expire_date=now + timedelta(days=1)
        )
        written += 1
    print(written)
else:
    with connection.cursor() as cursor:
        cursor.execute(schema.FIND_INDEXES[connection.vendor])
        valid = {name for name, valid in cursor.fetchall() if valid}
    ours = {index.name for indexes in schema.INDEXES.values() for index in indexes}
    print(
        json.dumps(
            {
                "users": sorted(get_user_model().objects.values_list("username", flat=True)),
                "runs": dict(PeriodicTask.objects.values_list("name", "total_run_count")),
                "description": PeriodicTask.objects.get(name="clear expired device grants").description,
                "tokens": AccessToken.objects.count(),
                "indexes": valid >= ours,
            }
        )
    )
