"""Delete many rows beside requests, which neither wait long nor deadlock."""

import json
import math
import time
from collections.abc import Callable, Container
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models import Model, QuerySet
from django.db.models.deletion import get_candidate_relations_to_delete
from django.db.models.expressions import RawSQL
from django.db.models.signals import post_delete, pre_delete
from oauth2_provider.settings import oauth2_settings

Rows = QuerySet[Any]


class Done(NamedTuple):
    """What came of it: rows deleted, whether time was over before the last, seconds it took to find them."""

    deleted: int
    more: bool
    finding: float


def delete_in_batches(
    rows: Rows,
    *order: str,
    seconds: float = math.inf,
    release: Callable[[Rows], Rows] | None = None,
    released: Container[type[Model]] = (),
) -> Done:
    """Delete rows in short transactions, except those that others have locked.

    Args:
        rows: what has to go.
        order: lookups by which an index yields the rows; few of them share the value of the last.
        seconds: after which no other batch begins.
        release: called with a batch that is locked, lets go what refers to it; returns what may be deleted.
        released: models whose rows refer to what is deleted, and with which `release` deals.
    """
    model, using, deadline = rows.model, router.db_for_write(rows.model), time.monotonic() + seconds
    size, deleted, finding = oauth2_settings.CLEAR_EXPIRED_TOKENS_BATCH_SIZE, 0, -time.monotonic()
    rest = rows = rows.using(using).order_by(*order)
    # Asked without a transaction, which would stop SQLite's writers. Each batch begins where the first row
    # is: else PostgreSQL steps over all that it has deleted.
    while (first := rest.values_list(order[-1], flat=True).first()) is not None:
        rest = rows.filter(**{f"{order[-1]}__gte": first})
        # Nothing waits here for a lock while others may wait for its own.
        with transaction.atomic(using=using):
            keys = list(rest.select_for_update(skip_locked=True).values_list("pk", flat=True)[:size])
            finding += time.monotonic()
            batch = model._default_manager.using(using).filter(pk__in=_one_of(keys, model, using))
            number = _delete(release(batch) if release else batch, released)
        deleted, late = deleted + number, time.monotonic() > deadline
        if len(keys) < size or not number or late:
            return Done(deleted, late and len(keys) == size, finding)
        time.sleep(oauth2_settings.CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL)  # so that others can write
        finding -= time.monotonic()
    return Done(deleted, False, finding + time.monotonic())


def _delete(batch: Rows, released: Container[type[Model]]) -> int:
    """Delete by SQL alone, unless receivers or other models' rows are concerned; return how many."""
    meta = batch.model._meta
    relations = get_candidate_relations_to_delete(meta)
    others = any(relation.related_model not in released for relation in relations)
    listeners = any(signal.has_listeners(batch.model) for signal in (pre_delete, post_delete))
    if listeners or others or meta.parents or meta.private_fields:
        return batch.delete()[1].get(meta.label, 0)
    number: int = batch._raw_delete(batch.db)
    return number


def _one_of(keys: list[Any], model: type[Model], using: str) -> RawSQL:
    """Return primary keys as one parameter, which takes a tenth of the time of thousands."""
    if connections[using].vendor == "sqlite":
        return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(keys, default=lambda key: key.hex)])
    return RawSQL(f"SELECT unnest(%s::{model._meta.pk.rel_db_type(connections[using])}[])", [keys])  # noqa: S611  # a type and numbers
