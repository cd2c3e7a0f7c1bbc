"""What a later release adds to the database."""

from django.db import migrations


class Migration(migrations.Migration):
    """A table that no earlier release knows."""

    dependencies = (("tutorial", "0002_drop_triggers"),)
    operations = (migrations.RunSQL("CREATE TABLE later (id integer)", "DROP TABLE later"),)
