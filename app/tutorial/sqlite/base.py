"""The backend's connection; Django loads it by this module's name."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import OperationalError
from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Refuse to open a file that isn't there: an empty one in its place would hide that the data is gone."""

    def get_connection_params(self) -> dict[str, Any]:
        """Return the arguments of `sqlite3.connect`, without its leave to create the file."""
        parameters = super().get_connection_params()
        if path := self.file:
            parameters["database"] = f"file:{quote(str(path))}?mode=rw"
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        """Connect.

        Raises:
            OperationalError: the file is missing, or SQLite can't open it.
        """
        if self.file and not self.file.exists():
            raise OperationalError(f"There is no file {self.file}; `manage.py migrate` creates it.")
        connection: sqlite3.Connection = super().get_new_connection(conn_params)
        return connection

    @property
    def file(self) -> Path | None:
        """The database's file; None for one in memory, or one that is named by an SQLite URI."""
        name = str(self.settings_dict["NAME"])
        return None if name.startswith("file:") or ":memory:" in name else Path(name)
