"""Which tokens no other row holds on to, so that the clean-up need not look at all the others.

A token may only be deleted once nothing refers to it, and no index can hold the absence of a row in
another table. So the database itself keeps these two tables, by the triggers in `tutorial.schema`.
"""

from django.db import models


class Unpaired(models.Model):
    """A token that nothing refers to: its primary key, and when it expires."""

    # No foreign key: a trigger removes the row together with the token.
    token = models.BigIntegerField(primary_key=True)
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
