"""Delete what the toolkit's `clear_expired()` deletes, at a cost that follows the number of those rows.

The toolkit counts its way through every token that has expired, at each call, and deletes Python objects.
Here an index, or the lists that triggers keep (see `tutorial.schema`), lead to the rows, which SQL deletes
in short transactions. `tests/test_cleanup.py` holds the two functions against each other.
"""

import json
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, F, Lookup, OuterRef, QuerySet
from django.db.models.deletion import get_candidate_relations_to_delete
from django.db.models.signals import post_delete, pre_delete
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone
from oauth2_provider import models as toolkit
from oauth2_provider.settings import oauth2_settings

from tutorial.models import UnpairedAccessToken, UnpairedIDToken
from tutorial.schema import triggers_are_there

logger = toolkit.logger  # the lines are the toolkit's, so they come under its name

MODELS = {
    "REFRESH_TOKEN_MODEL": toolkit.RefreshToken,
    "ACCESS_TOKEN_MODEL": toolkit.AccessToken,
    "ID_TOKEN_MODEL": toolkit.IDToken,
    "GRANT_MODEL": toolkit.Grant,
}


def clear_expired() -> None:
    """Delete what `oauth2_provider.models.clear_expired()` would delete now, and log the same lines.

    Rows that another transaction has locked are left for the next time. Where the short way isn't known
    to lead to the same rows, the toolkit's own function does the work, and a line says why.

    Raises:
        ImproperlyConfigured: as the toolkit's function does.
    """
    reason = reason_for_the_long_way()
    if reason:
        logger.info("Left to the toolkit's own clear_expired(), because %s", reason)
        toolkit.clear_expired()
        return
    now = timezone.now()
    revoked_until, expired_until = refresh_token_limits(now)

    refresh_tokens = toolkit.RefreshToken.objects.all()
    if revoked_until:
        deleted = _delete(refresh_tokens.filter(revoked__lte=revoked_until), "revoked")
        logger.info("%s Revoked refresh tokens deleted", deleted)
    else:
        logger.info("refresh_revoked_at is %s. No revoked refresh tokens deleted.", revoked_until)

    orphans = refresh_tokens.filter(revoked__isnull=True, access_token__isnull=True)
    logger.info("%s Orphaned refresh tokens deleted", _delete(orphans, "access_token_id", "revoked", "pk"))

    pairs = 0
    if expired_until:
        idle = refresh_tokens.filter(revoked__isnull=True, access_token__expires__lte=expired_until)
        pairs = _delete(idle, "access_token__expires", with_access_tokens=True)
        logger.info("%s Expired refresh tokens deleted", pairs)
    else:
        logger.info("refresh_expire_at is %s. No expired refresh tokens deleted.", expired_until)

    # Not the toolkit's `refresh_token__isnull=True`, for which a DELETE reads the table twice.
    paired = toolkit.RefreshToken.objects.filter(access_token=OuterRef("pk"))
    access_tokens = toolkit.AccessToken.objects.filter(~Exists(paired), expires__lt=now)
    deleted = _delete(access_tokens, "expires", listed=UnpairedAccessToken.objects.filter(expires__lt=now))
    logger.info("%s Expired access tokens deleted", pairs + deleted)

    paired = toolkit.AccessToken.objects.filter(id_token=OuterRef("pk"))
    id_tokens = toolkit.IDToken.objects.filter(~Exists(paired), expires__lt=now)
    deleted = _delete(id_tokens, "expires", listed=UnpairedIDToken.objects.filter(expires__lt=now))
    logger.info("%s Expired ID tokens deleted", deleted)

    grants = toolkit.Grant.objects.filter(expires__lt=now)
    logger.info("%s Expired grant tokens deleted", _delete(grants, "expires"))


def reason_for_the_long_way() -> str | None:
    """Return why the short way might lead elsewhere than the toolkit's; None if it can't."""
    for setting, model in MODELS.items():
        if getattr(oauth2_settings, setting) != model._meta.label:
            return f"{setting} is not {model._meta.label}"
        if pre_delete.has_listeners(model) or post_delete.has_listeners(model):
            return f"a receiver waits for deletions of {model._meta.label}"
        for relation in get_candidate_relations_to_delete(model._meta):
            if relation.related_model not in MODELS.values():
                return f"{relation} refers to it"
    grace = oauth2_settings.REFRESH_TOKEN_GRACE_PERIOD_SECONDS or 0
    if not isinstance(grace, int | float) or grace < 0:
        return "REFRESH_TOKEN_GRACE_PERIOD_SECONDS is no number of seconds"  # the toolkit raises
    databases = {
        router.db_for_write(model) for model in (*MODELS.values(), UnpairedAccessToken, UnpairedIDToken)
    }
    if len(databases) > 1:
        return f"tokens are in several databases: {', '.join(sorted(databases))}"
    if not triggers_are_there(databases.pop()):
        return "the database lacks triggers, which `migrate` makes"
    return None


def refresh_token_limits(now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return until when a refresh token must have been revoked, and its access token expired, to go.

    None stands for: it never goes for that reason.

    Raises:
        ImproperlyConfigured: the setting REFRESH_TOKEN_EXPIRE_SECONDS is no number of seconds.
    """
    life = toolkit.refresh_token_expire_timedelta()
    expired_until = now - life if life else None
    if oauth2_settings.REFRESH_TOKEN_REUSE_PROTECTION:
        # A revoked token betrays its second use, until it expires.
        return expired_until, expired_until
    return now - timedelta(seconds=oauth2_settings.REFRESH_TOKEN_GRACE_PERIOD_SECONDS or 0), expired_until


class OneOf(Lookup):
    """Compares with a list of integers that travels as one parameter, in a tenth of the time of thousands.

    A subquery with a limit in its place might be run many times over by PostgreSQL.
    """

    lookup_name = "one_of"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        """Return SQLite's form of it."""
        column, parameters = self.process_lhs(compiler, connection)
        one_of = "IN (SELECT value FROM json_each(%s))"
        return f"{column} {one_of}", (*parameters, json.dumps(self.rhs))

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        """Return PostgreSQL's form of it."""
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*parameters, self.rhs)


def _delete(
    expired: QuerySet[Any],
    *order: str,
    listed: QuerySet[Any] | None = None,
    with_access_tokens: bool = False,
) -> int:
    """Delete the rows `expired` in batches; return how many rows that were.

    Args:
        expired: the rows, as the toolkit's own query has them.
        order: lookups by which an index yields the rows in question and no others.
        listed: a list with that order, whose primary keys are those of `expired`.
        with_access_tokens: whether the access token of each row, all have one, goes in the same batch.
    """
    model, using = expired.model, router.db_for_write(expired.model)
    access_tokens = toolkit.AccessToken.objects.using(using)
    rows = (expired if listed is None else listed).using(using).order_by(*order)
    size = oauth2_settings.CLEAR_EXPIRED_TOKENS_BATCH_SIZE
    if with_access_tokens:
        size = max(size // 2, 1)
    total, rest = 0, rows
    # Each batch begins where the first row is: else PostgreSQL steps over all that it has deleted.
    while (first := rest.values_list(order[-1], flat=True).first()) is not None:
        rest = rows.filter(**{f"{order[-1]}__gte": first})
        with transaction.atomic(using=using):
            # Rows that another clean-up or a request works on are skipped, so that none waits for the other.
            locked = rest.select_for_update(skip_locked=True)
            if with_access_tokens:
                pairs = dict(locked.values_list("pk", "access_token_id")[:size])
                batch = list(pairs)
            else:
                batch = list(locked.values_list("pk", flat=True)[:size])
            if model is toolkit.RefreshToken:  # what on_delete=SET_NULL means
                heirs = access_tokens.filter(OneOf(F("source_refresh_token"), batch))
                heirs.update(source_refresh_token=None)
            if with_access_tokens:
                # Before what refers to them, so that the triggers need not list them for a moment.
                access_tokens.filter(OneOf(F("pk"), list(pairs.values())))._raw_delete(using)
            # A list of tokens may be wrong, but not lead to what the toolkit would keep.
            target = (model.objects if listed is None else expired).using(using)
            deleted: int = target.filter(OneOf(F("pk"), batch))._raw_delete(using)
        total += deleted
        time.sleep(oauth2_settings.CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL)  # others get their turn
        # A wrong list leads to rows that stay, which must not keep this from ending.
        if len(batch) < size or not deleted:
            break
    return total
