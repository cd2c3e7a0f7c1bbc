"""Jinja filter that makes of a password what PostgreSQL stores of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Any

ITERATIONS = 4096


def scram_sha_256(password: str, salt: bytes | None = None) -> str:
    """Return the verifier of the password, which lets the server check it and nobody log in.

    The salt is a new one unless it is given. Of other than ASCII characters the bytes count as they are: PostgreSQL's
    clients normalize them first (SASLprep), which changes some. Source: RFC 5803 and PostgreSQL's scram-common.c.

    Raises:
        ValueError: the password isn't made of printable ASCII characters.
    """
    if not (password.isascii() and password.isprintable()):
        raise ValueError("the password must be made of printable ASCII characters")
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"scram_sha_256": scram_sha_256}
