"""The lists of unpaired tokens; see tutorial.models."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from tutorial.models import RowKey


class Migration(migrations.Migration):
    """Two empty tables, filled after the migration by tutorial.schema."""

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
