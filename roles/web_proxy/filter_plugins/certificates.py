"""Jinja filter that holds a certificate against its key, its chain, its names and the calendar."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


def certificate_problems(certificate: str, key: str, names: Iterable[str]) -> list[str]:
    """Return one sentence for each thing that is wrong with a certificate (PEM, with its chain) and its key."""
    try:
        first, *chain = x509.load_pem_x509_certificates(certificate.encode())
    except ValueError:
        return ["web_proxy_certificate_file must have the certificate and its chain in PEM, the server's own first."]
    problems = []
    try:
        private = load_pem_private_key(key.encode(), None)
    except (TypeError, ValueError):
        problems.append("web_proxy_key_file must have the certificate's key in PEM, without a password.")
    else:
        if _public(private.public_key()) != _public(first.public_key()):
            problems.append("web_proxy_key_file is not the key of web_proxy_certificate_file; name the pair.")
    for one, issuer in zip([first, *chain], chain, strict=False):
        try:
            one.verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, ValueError):
            problems.append(
                "The chain in web_proxy_certificate_file is out of order; put each certificate before its issuer's."
            )
            break
    if first.not_valid_after_utc <= datetime.now(UTC):
        problems.append(
            f"The certificate in web_proxy_certificate_file expired on {first.not_valid_after_utc:%Y-%m-%d}; renew it."
        )
    lacking = [name for name in names if not any(_covers(pattern, name) for pattern in _names(first))]
    if lacking:
        problems.append(
            f"The certificate in web_proxy_certificate_file isn't for {', '.join(lacking)}; get one for all of "
            "web_proxy_server_names."
        )
    return problems


def _public(key: Any) -> bytes:
    data: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return found.get_values_for_type(x509.DNSName)


def _covers(pattern: str, name: str) -> bool:
    """Tell whether a name of a certificate is the one, or a wildcard for it."""
    pattern = pattern.lower()
    return pattern == name or (pattern.startswith("*.") and pattern[1:] == name[name.find(".") :])


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"certificate_problems": certificate_problems}
