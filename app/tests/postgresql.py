"""A PostgreSQL server of one's own: Debian's binaries, a temporary folder, a socket in it and no port."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARIES = Path("/usr/lib/postgresql")


@contextmanager
def postgresql(**options: str) -> Iterator[dict[str, Any]]:
    """Run a server while the context lasts; yield what DATABASES needs to reach it.

    Args:
        options: server settings beside those that do without a disk's safety, as on its command line.

    Raises:
        RuntimeError: Debian's package `postgresql` isn't installed.
    """
    versions = sorted(BINARIES.glob("*/bin"), key=lambda path: float(path.parent.name))
    if not versions:
        raise RuntimeError(f"No PostgreSQL in {BINARIES}: `make setup` installs it.")
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        shutil.chown(folder, user, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [versions[-1] / program, "--pgdata", folder / "data", *arguments],
            **as_user,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    options = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"} | options
    options |= {"listen_addresses": "", "unix_socket_directories": str(folder)}
    try:
        run("initdb", "--auth=trust", "--username=app", "--encoding=UTF8", "--no-locale", "--no-sync")
        settings = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        run("pg_ctl", "start", "--wait", f"--log={folder / 'log'}", f"--options={settings}")
        try:
            yield {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": "app",
                "HOST": str(folder),
            }
        finally:
            run("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(folder)
