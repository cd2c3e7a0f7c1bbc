"""Migrate, and create an SQLite file first if there is none."""

from django.core.management.commands import migrate
from django.db import connections

from tutorial.sqlite.base import DatabaseWrapper


class Command(migrate.Command):
    """Django's own command; no other one creates the file."""

    def execute(self, *args: object, **options: object) -> str | None:
        """Create the file before the system checks look into it; not if only asked what would be done."""
        connection = connections[str(options["database"])]
        if isinstance(connection, DatabaseWrapper) and connection.file and not connection.file.exists():
            if options["plan"] or options["check_unapplied"]:
                connection.settings_dict["NAME"] = ":memory:"
            else:
                connection.file.touch()
        return super().execute(*args, **options)
