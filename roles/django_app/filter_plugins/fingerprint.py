"""Jinja filter by which a host knows whether a password is the one that it had last."""

from __future__ import annotations

import hashlib
from typing import Any


def fingerprint(secret: str, salt: str) -> str:
    """Return a slow hash of the secret, from which nobody gets it back; the same for the same salt."""
    return hashlib.scrypt(secret.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=32).hex()


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"fingerprint": fingerprint}
