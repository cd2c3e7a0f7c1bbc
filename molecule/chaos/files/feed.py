"""Put in an access token every second, which expires soon, and twenty live ones once; run by manage.py shell.

Prints how many live ones are left whenever the number changes, so that a loss is found at the fault that caused it.
"""

import secrets
import time
from datetime import timedelta

from django.db import Error, close_old_connections, transaction
from django.utils import timezone
from oauth2_provider.models import AccessToken

LIVE = 20


def put(expires, scope=""):
    AccessToken.objects.create(token=secrets.token_hex(), expires=expires, scope=scope)


def live():
    return AccessToken.objects.filter(scope="live").count()


if live() == 0:
    with transaction.atomic():  # all or none: a start that fails half-way must not pass for tokens that were lost
        for _ in range(LIVE):
            put(timezone.now() + timedelta(days=1), "live")
seen = None
while True:
    close_old_connections()
    try:
        put(timezone.now() + timedelta(seconds=1))
        if seen != (seen := live()):
            print(f"{seen} of {LIVE} live tokens are there", flush=True)
    except Error as error:
        print(error)
    time.sleep(1)
