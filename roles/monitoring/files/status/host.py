"""What the file system and the web process tell."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


def read_web(web: dict[str, Any]) -> dict[str, Any]:
    """Return how the web process itself, without a proxy of the environment, answers the request for its health."""
    url = urlsplit(web["url"])
    connection = http.client.HTTPConnection(url.netloc, timeout=5)
    try:
        if web.get("socket"):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(5)
            connection.sock.connect(web["socket"])
        connection.request("GET", url._replace(scheme="", netloc="").geturl(), headers=web["headers"])
        return {"url": web["url"], "status": connection.getresponse().status}
    except (OSError, ValueError, http.client.HTTPException):
        return {"url": web["url"], "status": None}
    finally:
        connection.close()
