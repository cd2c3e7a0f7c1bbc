"""The secret key of a project that is run by hand, where nobody gave one."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key


def local_secret_key(path: Path) -> str:
    """Return the key in the file `path`, which is made at random (mode 0600) if missing.

    Processes that start together get the same key.

    Raises:
        ImproperlyConfigured: the file cannot be read or made, as in a read-only release.
    """
    try:
        if not path.exists():
            with NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as new:
                new.write(get_random_secret_key())
                new.flush()
                # A hard link appears whole or not at all, and never replaces another's key.
                with suppress(FileExistsError):
                    os.link(new.name, path)
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            "No secret key: set DJANGO_SECRET_KEY, or DJANGO_SECRET_KEY_FILE to a file that holds it "
            f"({path} cannot be used: {error.strerror})."
        ) from error
