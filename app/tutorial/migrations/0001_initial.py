"""The lists of orphaned tokens that an earlier clean-up kept by triggers; 0002 removes both."""

from typing import ClassVar

from django.db import migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation


class RowKey(models.BigIntegerField):  # type: ignore[type-arg]  # Django's class takes none at run time
    """A big integer that SQLite uses as the row's own number, so that the key needs no index beside it."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return `integer` for SQLite, which makes just that a key of this kind."""
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)


class Migration(migrations.Migration):
    """Two empty tables."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name=name,
            fields=[
                ("token", RowKey(primary_key=True, serialize=False)),
                ("expires", models.DateTimeField(db_index=True)),
            ],
            options={"abstract": False},
        )
        for name in ("UnpairedAccessToken", "UnpairedIDToken")
    ]
