"""Jinja filter that hashes a password as RabbitMQ does."""

from __future__ import annotations

import base64
import hashlib
from typing import Any


def rabbitmq_password_hash(password: str, salt: str) -> str:
    """Return RabbitMQ's ``rabbit_password_hashing_sha256`` of the password.

    The salt has four ASCII characters. Source: https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    salt_bytes = salt.encode("ascii")
    if len(salt_bytes) != 4:
        raise ValueError("the salt must have four characters")
    return base64.b64encode(salt_bytes + hashlib.sha256(salt_bytes + password.encode()).digest()).decode()


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"rabbitmq_password_hash": rabbitmq_password_hash}
