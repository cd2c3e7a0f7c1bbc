"""Jinja filters that tell whether a text is a key by which ID tokens can be signed or verified."""

from __future__ import annotations

import contextlib
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

SHORTEST = 2048  # bits; RFC 7518 (section 3.3) allows no shorter one


def is_private_rsa_key(pem: str) -> bool:
    """Tell whether it is an RSA key as PEM, without a passphrase."""
    with contextlib.suppress(TypeError, ValueError, UnsupportedAlgorithm):
        key = load_pem_private_key(pem.encode(), None)
        return isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SHORTEST
    return False


def is_rsa_key(pem: str) -> bool:
    """Tell whether it is an RSA key as PEM, or the public half of one."""
    with contextlib.suppress(TypeError, ValueError, UnsupportedAlgorithm):
        key = load_pem_public_key(pem.encode())
        return isinstance(key, rsa.RSAPublicKey) and key.key_size >= SHORTEST
    return is_private_rsa_key(pem)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"is_private_rsa_key": is_private_rsa_key, "is_rsa_key": is_rsa_key}
