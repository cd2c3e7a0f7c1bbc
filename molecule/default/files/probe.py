"""Put in what is expired and what is live, then wait for the schedule; run by manage.py shell."""

import json
import secrets
import sys
import time
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken

SECONDS = 20
rounds = int(sys.stdin.read() or 1)
now = timezone.now
user, _ = get_user_model().objects.get_or_create(username="probe")
# By what is unique: two hosts may do it at the same moment.
application, _ = Application.objects.get_or_create(
    client_id="probe",
    defaults={"user": user, "client_type": "confidential", "authorization_grant_type": "client-credentials"},
)
life = timedelta(seconds=settings.OAUTH2_PROVIDER["REFRESH_TOKEN_EXPIRE_SECONDS"])
hour = timedelta(hours=1)


def access_token(expires):
    return AccessToken.objects.create(user=user, application=application, token=secrets.token_hex(), expires=expires)


def refresh_token(access):
    return RefreshToken.objects.create(
        user=user, application=application, token=secrets.token_hex(), access_token=access
    )


def grant(expires):
    return Grant.objects.create(
        user=user, application=application, code=secrets.token_hex(), expires=expires, redirect_uri="https://x.example/"
    )


def session(expires):
    return Session.objects.create(session_key=secrets.token_hex(16), expire_date=expires)


def rows(expires, pair_expires):
    pair = access_token(pair_expires)
    return [access_token(expires), pair, refresh_token(pair), grant(expires), session(expires)]


def left(wanted):
    return [row for row in wanted if type(row).objects.filter(pk=row.pk).exists()]


waited = []
live = rows(now() + hour, now() + hour)
for number in range(rounds):
    time.sleep(3 * number)  # each round meets another moment of the ten seconds
    # As in life, what expires was stored before: a token with a time in the past would wait for a look at everything.
    expired = rows(now() + timedelta(seconds=1), now() - life - hour)
    begin = time.monotonic()
    while remaining := left(expired):
        if time.monotonic() - begin > SECONDS:
            sys.exit(f"Still there after {SECONDS} s: {[type(row).__name__ for row in remaining]}")
        time.sleep(0.2)
    waited.append(round(time.monotonic() - begin, 1))
if len(left(live)) != len(live):
    sys.exit("Live rows were deleted")
for row in live:
    row.delete()
print(json.dumps({"seconds": waited}))
