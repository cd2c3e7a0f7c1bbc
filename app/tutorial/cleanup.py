"""Delete what the toolkit's `clear_expired()` deletes, at a cost that follows the number of those rows.

Indexes (see `tutorial.schema`) lead to the rows. What has expired but must stay, such as an access token
with a valid refresh token, is not looked at at every call, but as often as that is cheap, at least hourly.
"""

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from oauth2_provider import models as toolkit
from oauth2_provider.settings import oauth2_settings

from tutorial.batches import delete_in_batches, unreferenced

OVERLAP = timedelta(minutes=1)  # for what was locked, or committed late
HOURLY = 50 * 60  # seconds
SHARE = 200  # whole looks take a part in so many of the time, or less


@dataclass
class Mark:
    """Until when everything expired was looked at; from when (`time.monotonic()`) on all of it is again."""

    until: datetime | None = None
    whole_look_at: float = -math.inf


def clear_expired(mark: Mark | None = None, seconds: float = math.inf) -> None:
    """Delete what `oauth2_provider.models.clear_expired()` would delete now, and log the same numbers.

    Args:
        mark: tells what was looked at before, and is moved on; without it everything is looked at.
        seconds: after which this ends, and the next call goes on.

    Raises:
        ImproperlyConfigured: a setting is no number of seconds.
    """
    now, begin, more, finding = timezone.now(), time.monotonic(), False, 0.0
    life = toolkit.refresh_token_expire_timedelta()
    grace = oauth2_settings.REFRESH_TOKEN_GRACE_PERIOD_SECONDS or 0
    if not isinstance(grace, int | float) or grace < 0:
        raise ImproperlyConfigured("REFRESH_TOKEN_GRACE_PERIOD_SECONDS must be a number of seconds")
    none: dict[str, Any] = {"pk__in": []}
    revoked = {"revoked__lte": now - timedelta(seconds=grace)}
    if oauth2_settings.REFRESH_TOKEN_REUSE_PROTECTION:  # kept until they expire, so that reuse is detected
        revoked = {"revoked__lte": now - life} if life else none
    orphaned: dict[str, Any] = {"revoked": None, "access_token": None}
    idle = {"revoked": None, "access_token__expires__lte": now - life} if life else none
    expired = [{"expires__lt": now}]
    since = mark.until if mark else None
    # A clock that was set back lets tokens expire behind the mark.
    if mark and since and since <= now and begin < mark.whole_look_at:
        # The former are the access tokens of idle refresh tokens.
        expired = [
            {"expires__lte": now - life} if life else none,
            {"expires__gte": since, "expires__lt": now},
        ]
    else:
        since = None

    refresh, access = toolkit.get_refresh_token_model(), toolkit.get_access_token_model()
    for name, model, order, parts in (
        ("Revoked refresh", refresh, ["revoked"], [revoked]),
        ("Orphaned refresh", refresh, ["access_token_id", "revoked", "pk"], [orphaned]),
        ("Expired refresh", refresh, ["access_token__expires"], [idle]),
        ("Expired access", access, ["expires"], expired),
        ("Expired ID", toolkit.get_id_token_model(), ["expires"], expired),
        ("Expired grant", toolkit.get_grant_model(), ["expires"], [{"expires__lt": now}]),
    ):
        total = 0
        for lookups in parts:
            rows, left = model.objects.filter(**lookups), begin + seconds - time.monotonic()
            if model is not refresh:
                rows = unreferenced(rows)
            done = delete_in_batches(rows, *order, seconds=left)
            total, more, finding = total + done.deleted, more or done.more, finding + done.finding
        toolkit.logger.info("%s %s tokens deleted", total, name)  # the toolkit's line, under its name
    if more:
        toolkit.logger.info("Stopped after %s s; the next run goes on", seconds)
    elif mark:
        mark.until = now - OVERLAP
        mark.whole_look_at = mark.whole_look_at if since else begin + min(HOURLY, SHARE * finding)
