"""Which tokens no other row holds on to, so that the clean-up need not look at all the others.

A token may only be deleted once nothing refers to it, and no index can hold the absence of a row in
another table. So the database itself keeps these two tables, by the triggers in `tutorial.schema`.
"""

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class RowKey(models.BigIntegerField):  # type: ignore[type-arg]  # Django's class takes none at run time
    """A big integer that SQLite uses as the row's own number, so that the key needs no index beside it."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return `integer` for SQLite, which makes just that a key of this kind."""
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)


class Unpaired(models.Model):
    """A token that nothing refers to: its primary key, and when it expires."""

    # No foreign key: a trigger removes the row together with the token.
    token = RowKey(primary_key=True)
    expires = models.DateTimeField(db_index=True)

    class Meta:
        """Two tables of the same shape."""

        abstract = True

    def __str__(self) -> str:
        """Name the token."""
        return f"{self._meta.verbose_name} {self.pk}"


class UnpairedAccessToken(Unpaired):
    """An access token without a refresh token."""


class UnpairedIDToken(Unpaired):
    """An ID token without an access token."""
