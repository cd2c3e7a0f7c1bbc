"""The clean-up does without triggers, and without the lists that they kept."""

from typing import ClassVar

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from tutorial.migrations._triggers import drop_triggers


def drop(_: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the triggers, unless `migrate` has begun with that."""
    drop_triggers(editor.connection.alias)


class Migration(migrations.Migration):
    """Backwards it makes two empty tables; an earlier release then makes its triggers, and fills them."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("tutorial", "0001_initial")]
    operations: ClassVar[list[Operation]] = [
        migrations.RunPython(drop, migrations.RunPython.noop),
        migrations.DeleteModel("UnpairedAccessToken"),
        migrations.DeleteModel("UnpairedIDToken"),
    ]
