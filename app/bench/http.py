"""Requests over HTTP through gunicorn: how many of them the web process answers in a CPU second.

A project is a folder with manage.py, so that a checkout of another commit can be measured beside this one.
"""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

SECRET = "0123456789abcdefghijklmnopqrstuv"
CLIENT = {"client_id": "bench", "client_secret": SECRET}
SECONDS = 2.0  # of CPU, for each kind of request
SEED = f"""
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, RefreshToken
user = User.objects.create_user("bench", password="correct horse")
one = {{"client_type": "confidential", "authorization_grant_type": "client-credentials"}}
Application.objects.create(client_id="bench", client_secret="{SECRET}", **one)
one["authorization_grant_type"] = "authorization-code"
web = Application.objects.create(
    client_id="web", client_secret="{SECRET}", redirect_uris="https://c.example/", **one
)
access = AccessToken.objects.create(
    user=user, application=web, token="a", scope="read", expires=timezone.now() + timedelta(hours=1)
)
RefreshToken.objects.create(user=user, application=web, token="first", access_token=access)
"""


class Site:
    """A project that is served by one process with four threads."""

    def __init__(self, port: int, process: int) -> None:
        """Remember where it listens, and gunicorn's main process."""
        self.port = port
        self.process = process
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.refresh_token = "first"
        self.login: tuple[dict[str, str], str] | None = None
        self.logins = 0

    def cpu(self) -> float:
        """Return the CPU seconds of the process that answers."""
        tasks = Path(f"/proc/{self.process}/task/{self.process}/children").read_text()
        fields = Path(f"/proc/{tasks.split()[0]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def post(self, path: str, form: dict[str, str], expected: int = 200) -> bytes:
        """Send a form; return the answer's body."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Host": "localhost"}
        self.connection.request("POST", path, urlencode(form), headers)
        return _read(self.connection.getresponse(), expected)

    def client_credentials(self) -> None:
        """Get a token."""
        self.token = json.loads(self.post("/o/token/", CLIENT | {"grant_type": "client_credentials"}))[
            "access_token"
        ]

    def refresh(self) -> None:
        """Refresh a pair of tokens."""
        form = CLIENT | {
            "client_id": "web",
            "grant_type": "refresh_token",
            "refresh_token": self.refresh_token,
        }
        self.refresh_token = json.loads(self.post("/o/token/", form))["refresh_token"]

    def introspection(self) -> None:
        """Ask about the token of client credentials."""
        if not json.loads(self.post("/o/introspect/", CLIENT | {"token": self.token}))["active"]:
            raise SystemExit("The token isn't active")

    def log_in(self) -> None:
        """Log in by the form, from another address now and then, since attempts of one are limited."""
        address = f"127.0.{self.logins // 20 // 200 + 1}.{self.logins // 20 % 200 + 1}"
        self.logins += 1
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(address, 0))
        if self.login is None:
            connection.request("GET", "/accounts/login/", headers={"Host": "localhost"})
            response = connection.getresponse()
            page = _read(response, 200).decode()
            cookie = str(response.headers["Set-Cookie"]).partition(";")[0]
            (csrf,) = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page))
            form = {"username": "bench", "password": "correct horse", "csrfmiddlewaretoken": csrf}
            self.login = {"Cookie": cookie, "Host": "localhost"}, urlencode(form)
        headers, form_ = self.login
        headers = headers | {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/accounts/login/", form_, headers)
        _read(connection.getresponse(), 302)
        connection.close()


def _read(response: HTTPResponse, expected: int) -> bytes:
    body = response.read()
    if response.status != expected:
        raise SystemExit(f"{response.status} {body.decode()}")
    return body


@contextmanager
def site(project: Path, environment: dict[str, str]) -> Iterator[Site]:
    """Serve a project with an empty database while the context lasts."""

    def manage(*arguments: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)

    environment = environment | {"DJANGO_LOG_LEVEL": "ERROR"}
    manage("migrate", "--verbosity=0")
    manage("shell", "--command", SEED)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gunicorn = [
            sys.executable,
            "-m",
            "gunicorn",
            f"--bind=fd://{listener.fileno()}",
            "--threads=4",
            "--keep-alive=60",
        ]
        process = subprocess.Popen(
            [*gunicorn, "--log-level=error", "--no-control-socket", "tutorial.wsgi"],
            cwd=project,
            env=environment,
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Site(listener.getsockname()[1], process.pid)
        finally:
            process.terminate()
            process.wait()


def rates(projects: dict[Path, dict[str, str]]) -> dict[Path, dict[str, float]]:
    """Return for each project, with its environment, the requests of each kind in a CPU second.

    All are served at the same time and asked in turn, so that what else the machine does meets all alike.
    """
    found: dict[Path, dict[str, float]] = {project: {} for project in projects}
    with ExitStack() as stack:
        sites = {
            project: stack.enter_context(site(project, environment))
            for project, environment in projects.items()
        }
        for kind in ("client_credentials", "refresh", "introspection", "log_in"):
            counts = dict.fromkeys(sites, 0)
            for served in sites.values():
                for _ in range(20):
                    getattr(served, kind)()
            begin = {project: served.cpu() for project, served in sites.items()}
            while min(served.cpu() - begin[project] for project, served in sites.items()) < SECONDS:
                for project, served in sites.items():
                    for _ in range(10):
                        getattr(served, kind)()
                    counts[project] += 10
            for project, served in sites.items():
                found[project][kind] = counts[project] / (served.cpu() - begin[project])
    return found
