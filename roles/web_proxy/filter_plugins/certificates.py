"""Jinja filter that holds a certificate against its key, its chain, its names and the calendar."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

NO_CERTIFICATE = "web_proxy_certificate_file must have the certificate and its chain in PEM, the server's own first."
NO_KEY = "web_proxy_key_file must have the certificate's key in PEM, without a password."
WEAK = (
    "nginx or browsers would refuse the certificate in web_proxy_certificate_file; get one with an RSA key of 2048 "
    "bits or more or an EC key on P-256 or P-384, signed by SHA-256 or better."
)


def certificate_problems(certificate_file: str, key_file: str, names: Iterable[str]) -> list[str]:
    """Return one sentence for each thing that is wrong with a certificate (PEM, with its chain) and its key."""
    problems = []
    try:
        first, *chain = x509.load_pem_x509_certificates(Path(certificate_file).read_bytes())
        public = _public(first.public_key())
    except OSError as error:
        return [f"web_proxy_certificate_file can't be read ({error.strerror}); make it readable."]
    except (ValueError, UnsupportedAlgorithm):
        return [NO_CERTIFICATE]
    try:
        if _public(load_pem_private_key(Path(key_file).read_bytes(), None).public_key()) != public:
            problems.append("web_proxy_key_file is not the key of web_proxy_certificate_file; name the pair.")
    except OSError as error:
        problems.append(f"web_proxy_key_file can't be read ({error.strerror}); make it readable.")
    except (TypeError, ValueError, UnsupportedAlgorithm):
        problems.append(NO_KEY)
    for one, issuer in zip([first, *chain], chain, strict=False):
        try:
            one.verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, ValueError, UnsupportedAlgorithm):
            problems.append(
                "The chain in web_proxy_certificate_file is out of order; put each certificate before its issuer's."
            )
            break
    now = datetime.now(UTC)
    for one, what in [(first, "The certificate"), *((one, "An issuer's certificate") for one in chain)]:
        if one.not_valid_after_utc <= now:
            problems.append(
                f"{what} in web_proxy_certificate_file expired on {one.not_valid_after_utc:%Y-%m-%d}; renew it."
            )
        elif one.not_valid_before_utc > now:
            problems.append(
                f"{what} in web_proxy_certificate_file is valid from {one.not_valid_before_utc:%Y-%m-%d} on; keep the "
                "one from before until then."
            )
    if _is_weak(first):
        problems.append(WEAK)
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


def _is_weak(certificate: x509.Certificate) -> bool:
    """Tell whether nginx doesn't start with it, or browsers don't take it."""
    key = certificate.public_key()
    strong = (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    )
    digest = certificate.signature_hash_algorithm
    return not strong or (digest is not None and digest.digest_size < 32)


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
