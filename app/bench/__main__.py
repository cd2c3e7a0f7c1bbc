"""Measure the app, side by side in one run, and print tables: `python -m bench --help` in its folder.

Databases are on a disk of this machine; PostgreSQL runs without waiting for it (fsync off).
"""

import argparse
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.http import rates
from bench.schedule import EVERY, measure
from tests.postgresql import postgresql

Result = dict[str, Any]


class Engine:
    """A place for databases, each of which has a name."""

    def url(self, name: str) -> str:
        """Return the DATABASE_URL of a database."""
        raise NotImplementedError

    def create(self, name: str, copy_of: str | None = None) -> None:
        """Make a new database, empty or a copy."""
        raise NotImplementedError

    def run(self, name: str, *arguments: str) -> Result:
        """Run a measurement of bench.child on a database."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment(name), stdout=subprocess.PIPE, check=True
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a measurement."""
        return [sys.executable, "-m", "bench.child", *arguments]

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a measurement."""
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.url(name),
            "DJANGO_SECRET_KEY": "not secret, and only for measurements on this machine",
            "DJANGO_SERVED_OVER_TLS": "false",
        }


class SQLite(Engine):
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder."""
        self.folder = folder

    def url(self, name: str) -> str:
        """Return the URL of the file."""
        return f"sqlite:///{self.folder / name}.sqlite3"

    def create(self, name: str, copy_of: str | None = None) -> None:
        """Remove the file, and what belongs to it, or copy another over it."""
        for file in self.folder.glob(f"{name}.sqlite3*"):
            file.unlink()
        if copy_of:
            shutil.copy(self.folder / f"{copy_of}.sqlite3", self.folder / f"{name}.sqlite3")


class PostgreSQL(Engine):
    """Databases on a server."""

    def __init__(self, server: Result) -> None:
        """Remember how to reach it."""
        self.host = server["HOST"]

    def url(self, name: str) -> str:
        """Return the URL over the socket."""
        return f"postgres://app@{quote(self.host, safe='')}/{name}"

    def create(self, name: str, copy_of: str | None = None) -> None:
        """Make the database from a template."""
        import psycopg

        with psycopg.connect(host=self.host, user="app", dbname="postgres", autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            server.execute(f"CREATE DATABASE {name} TEMPLATE {copy_of or 'template1'}".encode())
            server.execute("CHECKPOINT")


@contextmanager
def engines() -> Iterator[dict[str, Engine]]:
    """Yield both, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, postgresql() as server:
        yield {"SQLite": SQLite(Path(folder)), "PostgreSQL": PostgreSQL(server)}


def row(*cells: object) -> None:
    """Print a line of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(title: str, *cells: str) -> None:
    """Print what stands above a table."""
    print(f"\n## {title}\n")
    row(*cells)
    row(*["---"] * len(cells))


def idle(places: dict[str, Engine], sizes: list[int]) -> None:
    """One run that finds nothing to delete: the fastest of up to 15.

    The toolkit works on the tables as it leaves them, ours on the same with its indexes.
    """
    head(
        "Idle tick",
        *("engine", "tokens", "pairs", "toolkit ms", "ours, whole look ms", "/ toolkit"),
        *("ours, tick ms", "/ its first"),
    )
    for engine, place in places.items():
        for kind in ("live", "dormant"):
            first = 0.0
            for n in sizes:
                place.create("idle")
                place.run("idle", "fill", kind, str(n))
                theirs = place.run("idle", "idle", "toolkit")["wall"]
                place.run("idle", "equip")
                whole = place.run("idle", "idle", "whole look")["wall"]
                ours = place.run("idle", "idle", "ours")["wall"]
                first = first or ours
                row(
                    *(engine, kind, f"{n:,}", f"{theirs * 1000:.1f}"),
                    *(f"{whole * 1000:.1f}", f"{whole / theirs:.2f}"),
                    *(f"{ours * 1000:.1f}", f"{ours / first:.2f}"),
                )


def backlog(places: dict[str, Engine], sizes: list[int], toolkit_up_to: int) -> None:
    """A backlog, while another process inserts a token every 10 ms.

    Plain SQL: six DELETEs, each a transaction, on the tables as the toolkit leaves them, as does the toolkit.
    Ours has its indexes to keep up. All have the project's settings: pragmas and batches.
    """
    head(
        "Backlog",
        *(
            "engine",
            "expired access tokens",
            "who",
            "CPU s",
            "/ plain SQL",
            "s without pauses",
            "/ plain SQL",
        ),
        *("pauses s", "extra memory MB", "longest insert ms", "median insert ms"),
    )
    for engine, place in places.items():
        for n in sizes:
            place.create("base")
            place.run("base", "fill", "backlog", str(n))
            plain = None
            for who in ("plain SQL", "ours", "toolkit"):
                if who == "toolkit" and n > toolkit_up_to:
                    continue
                place.create("work", copy_of="base")
                if who == "ours":
                    place.run("work", "equip")
                with subprocess.Popen(
                    place.command("probe"),
                    env=place.environment("work"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                ) as process:
                    if process.stdin is None or process.stdout is None:
                        raise SystemExit("Pipes were asked for")  # for the type checker
                    process.stdout.readline()
                    result = place.run("work", "backlog", who)
                    process.stdin.close()
                    waits = json.loads(process.stdout.read())
                plain = plain or result
                if result["left"] != plain["left"]:
                    raise SystemExit(f"{who} left {result['left']}, plain SQL {plain['left']}")
                row(
                    *(engine, f"{n:,}", who),
                    *(f"{result['cpu']:.2f}", f"{result['cpu'] / plain['cpu']:.2f}"),
                    *(f"{result['wall']:.2f}", f"{result['wall'] / plain['wall']:.2f}"),
                    *(f"{result['paused']:.1f}", f"{result['memory']:.1f}"),
                    *(f"{waits['longest'] * 1000:.0f}", f"{waits['median'] * 1000:.1f}"),
                )


def requests(places: dict[str, Engine]) -> None:
    """Tokens by client credentials, in one process."""
    head("Token requests", "engine", "client secret", "tables", "requests/s", "/ PBKDF2")
    for engine, place in places.items():
        place.create("web")
        place.run("web", "fill", "live", "1000")
        slow = place.run("web", "requests", "pbkdf2_sha256")["rate"]
        row(engine, "PBKDF2, Django's default", "the toolkit's", f"{slow:.1f}", "1.0")
        fast = place.run("web", "requests", "client_secret_sha256")["rate"]
        row(engine, "one round", "the toolkit's", f"{fast:.1f}", f"{fast / slow:.1f}")
        place.run("web", "equip")
        ours = place.run("web", "requests", "client_secret_sha256")["rate"]
        row(engine, "one round", "with indexes", f"{ours:.1f}", f"{ours / slow:.1f}")


def logins(places: dict[str, Engine]) -> None:
    """Log-ins by the form, in one process."""
    head("Log-ins", "engine", "password", "log-ins per CPU second")
    for engine, place in places.items():
        place.create("web")
        place.run("web", "fill", "live", "1000")
        for hasher in (
            "django.contrib.auth.hashers.PBKDF2PasswordHasher",
            "tutorial.passwords.PasswordHasher",
        ):
            row(engine, hasher, f"{place.run('web', 'logins', hasher)['rate']:.1f}")


def web(projects: list[Path]) -> None:
    """The web process over HTTP on SQLite, this project beside others."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = SQLite(Path(folder))
        found = rates(
            {project: place.environment(f"http{number}") for number, project in enumerate(projects)}
        )
    first = found[projects[0]]
    head("Requests over HTTP for each CPU second of the web process", "project", *first, "/ the first")
    for project, by_kind in found.items():
        ratios = ", ".join(f"{rate / first[kind]:.2f}" for kind, rate in by_kind.items())
        row(project, *(f"{rate:.1f}" for rate in by_kind.values()), ratios)


def schedule(places: dict[str, Engine], seconds: int) -> None:
    """Beat without a worker, beside a sleeper."""
    title = f"Schedule: lateness of an interval of {EVERY} s, in ms"
    head(title, "engine", "who", "p50", "p90", "p99", "longest")
    effects = {}
    for engine, place in places.items():
        place.create("beat")
        place.run("beat", "fill", "live", "1000")
        place.run("beat", "schedule", str(EVERY))

        def change(every: int, place: Engine = place) -> float:
            return float(place.run("beat", "change", str(every))["time"])

        beat, sleeper, effects[engine] = measure(place.environment("beat"), change, seconds)
        row(engine, "beat", *beat)
        row(engine, "a sleeper", *sleeper)
    head("Schedule: seconds from a change in the Admin to the first run by it", "engine", "each", "longest")
    for engine, each in effects.items():
        row(engine, ", ".join(f"{effect:.1f}" for effect in each), f"{max(each):.1f}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    for name, sizes, what in (
        ("--idle", [10**3, 10**4, 10**5], "pairs of tokens"),
        ("--backlog", [10**4, 10**5], "expired access tokens"),
    ):
        parser.add_argument(name, type=int, nargs="*", default=sizes, metavar="N", help=what)
    parser.add_argument(
        "--toolkit-up-to", type=int, default=10**5, metavar="N", help="largest for the toolkit"
    )
    parser.add_argument(
        "--schedule", type=int, default=60, metavar="SECONDS", help="on each engine; 0 leaves it out"
    )
    parser.add_argument(
        "--http",
        type=Path,
        nargs="*",
        default=[Path()],
        metavar="FOLDER",
        help="projects that are served side by side; the first is what others are compared with",
    )
    parser.add_argument("--no-requests", action="store_true", help="leave out the token requests")
    arguments = parser.parse_args()

    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    server = sorted(Path("/usr/lib/postgresql").glob("*"))[-1].name
    print(
        f"{time.strftime('%F')}, {os.cpu_count()} cores ({cpu.split(': ')[1]}), "
        f"load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, Django {version('Django')}, "
        f"django-oauth-toolkit {version('django-oauth-toolkit')}, SQLite {sqlite3.sqlite_version}, "
        f"PostgreSQL {server}."
    )
    with engines() as places:
        if arguments.idle:
            idle(places, arguments.idle)
        if arguments.backlog:
            backlog(places, arguments.backlog, arguments.toolkit_up_to)
        if not arguments.no_requests:
            requests(places)
            logins(places)
        if arguments.http:
            web(arguments.http)
        if arguments.schedule:
            schedule(places, arguments.schedule)


if __name__ == "__main__":
    main()
