"""What the file system and the web process tell."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from commands import run


def read_release(app: str) -> dict[str, Any]:
    """Return which release is current, since when, and how many complete ones are kept."""
    link = Path(f"/opt/{app}/current")
    kept = sum(1 for _ in Path(f"/opt/{app}/releases").glob("*/.complete"))
    if not (link / ".venv").exists():
        return {"current": None, "since": None, "kept": kept}
    return {"current": link.resolve().name, "since": int(os.lstat(link).st_mtime), "kept": kept}


def read_disks(paths: list[str]) -> list[dict[str, Any]]:
    """Return the size and the free bytes of the file system of each folder that is there."""
    disks = []
    for path in [path for path in paths if os.path.isdir(path)]:
        usage = shutil.disk_usage(path)
        disks.append({"path": path, "size": usage.total, "free": usage.free})
    return disks


def read_backup(app: str) -> dict[str, Any]:
    """Return what the program for backups has noted on this host, moments in seconds since the epoch."""
    try:
        noted = json.loads(Path(f"/var/backups/{app}/status.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        noted = {}
    backup, check = noted.get("backup", {}), noted.get("check", {})
    return {
        "repository": noted.get("repository"),
        "newest": backup.get("id"),
        "made": backup.get("at"),
        "error": backup.get("error"),
        "checked": check.get("at"),
        "check_error": check.get("error"),
    }


# By which other hosts know what is here.
MEMBER_CERTIFICATES = {
    "database": "/etc/postgresql-managed/member.pem",
    "broker": "/etc/rabbitmq-managed/member.pem",
}


def read_member_certificates() -> dict[str, float | None]:
    """Return until when the certificates hold that servers of this host show to others, in seconds since 1970."""
    return {
        name: read_certificate({"file": path, "from_authority": True})["until"]
        for name, path in MEMBER_CERTIFICATES.items()
        if Path(path).exists()
    }


def read_certificate(certificate: dict[str, Any]) -> dict[str, Any]:
    """Return who issued the certificate that nginx serves, from when and until when it holds, or what is wrong."""
    answer = run(
        ["openssl", "x509", "-noout", "-dates", "-subject", "-issuer", "-in", certificate["file"]],
        5,
    )
    said = dict(line.split("=", 1) for line in answer.out.splitlines() if "=" in line)
    try:
        return {
            "since": int(ssl.cert_time_to_seconds(said["notBefore"])),
            "until": int(ssl.cert_time_to_seconds(said["notAfter"])),
            "issuer": said["issuer"].strip(),
            "self_signed": said["issuer"].strip() == said["subject"].strip(),
            "from_authority": certificate["from_authority"],
        }
    except (KeyError, ValueError):
        return {"since": None, "until": None, "issuer": None, "self_signed": None, "from_authority": None}


class UnixConnection(http.client.HTTPConnection):
    """To a web process that listens on a Unix socket."""

    def __init__(self, path: str, host: str, **options: Any) -> None:
        """Remember where the socket is."""
        super().__init__(host, **options)
        self.path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class UnixHandler(urllib.request.HTTPHandler):
    """Asks by such a connection."""

    def __init__(self, path: str) -> None:
        """Remember where the socket is."""
        super().__init__()
        self.path = path

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Ask."""
        return self.do_open(partial(UnixConnection, self.path), req)


def read_web(web: dict[str, Any]) -> dict[str, Any]:
    """Return how the web process answers the request for its health."""
    request = urllib.request.Request(web["url"], headers=web["headers"])
    # No proxy of the environment stands between.
    handlers = [UnixHandler(web["socket"])] if web.get("socket") else []
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)
    try:
        with opener.open(request, timeout=5) as answer:
            return {"url": web["url"], "status": answer.status}
    except urllib.error.HTTPError as error:
        return {"url": web["url"], "status": error.code}
    except (OSError, ValueError):
        return {"url": web["url"], "status": None}
