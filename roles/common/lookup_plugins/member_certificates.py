"""Ansible lookup: the certificates by which other hosts know databases and brokers, made beside the inventory."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DOCUMENTATION = r"""
name: member_certificates
short_description: The certificates by which databases and brokers are known on the network
description:
  - Makes the installation's authority of certificates and a certificate for one address, if they are missing. They hold
    for ten years; that of an address is renewed when half of the time is over.
options:
  _terms:
    description: The folder of credentials, and the address; without one the authority alone is returned.
    required: true
  service:
    description: What has the certificate. A broker's also holds for the name C(rabbitmq), whatever its address is.
    type: str
    choices: [postgresql, rabbitmq]
    default: postgresql
author: the maintainers of this project
"""

RETURN = r"""
_raw:
  description:
    - C(authority) and C(certificate) are public, C(key) is private; all are PEM. Without an address C(authority) alone.
  type: list
  elements: dict
"""

LIFETIME = timedelta(days=3650)
# Clocks of hosts may be behind.
EARLIER = timedelta(days=1)

Pair = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime) -> Any:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _usage(*names: str) -> x509.KeyUsage:
    """Return what a key may be used for; Python 3.13 wants it said."""
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    every += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in names for name in every})


def new_authority(now: datetime) -> Pair:
    """Return a key and a certificate that may sign others."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "authority of databases and brokers"
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(name, issuer, key, now).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    return key, builder.add_extension(_usage("key_cert_sign", "crl_sign"), True).sign(key, hashes.SHA256())


def new_member(authority: Pair, address: str, now: datetime, service: str = "postgresql") -> Pair:
    """Return a key and a certificate for an address; databases have it for both ends of a connection."""
    key = ec.generate_private_key(ec.SECP256R1())
    uses, names = [ExtendedKeyUsageOID.SERVER_AUTH], [_name(address)]
    if service == "postgresql":
        # Brokers are no clients of databases, where each certificate of the authority is let in.
        uses.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    else:
        names.append(x509.DNSName(service))
    # What pg_ident.conf maps to the roles of replication.
    builder = _builder(f"{service}-member", authority[1].subject, key, now)
    # Python 3.13 wants it said.
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority[0].public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(issued_by, False)
    builder = builder.add_extension(_usage("digital_signature"), True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return key, builder.sign(authority[0], hashes.SHA256())


def _name(address: str) -> x509.GeneralName:
    """Return what clients compare with what they connect to: an address, or the name of a host."""
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def text(pair: Pair) -> tuple[str, str]:
    """Return the key and the certificate as PEM."""
    key = pair[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return key, pair[1].public_bytes(Encoding.PEM).decode()


def read(path: Path) -> Pair:
    """Return what is in a file.

    Raises:
        ValueError: it can't be used; the message is a sentence that says what to do.
    """
    try:
        content = path.read_bytes()
        key = load_pem_private_key(content, None)
        return key, x509.load_pem_x509_certificate(content)  # type: ignore[return-value]
    except ValueError:
        raise ValueError(f"{path} doesn't hold a key and its certificate; restore it from a copy.") from None


def write(path: Path, pair: Pair, replace: bool) -> None:
    """Write a file in one step; one that is there stays, unless it is to be replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text("".join(text(pair)), encoding="utf-8")
    try:
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def authority_in(folder: Path, now: datetime) -> Pair:
    """Return the installation's authority, which is made if it is missing.

    Raises:
        ValueError: the file can't be used.
    """
    # Named after its first use.
    path = folder / "postgresql_authority.pem"
    if not path.exists():
        write(path, new_authority(now), replace=False)
    return read(path)


def member(folder: Path, address: str, now: datetime, service: str = "postgresql") -> dict[str, str]:
    """Return what the member of that address gets; what is missing is made.

    Raises:
        ValueError: a file can't be used.
    """
    authority = authority_in(folder, now)
    own = folder / f"{service}_{address}.pem"
    pair = read(own) if own.exists() else None
    if (
        pair is None
        or pair[1].issuer != authority[1].subject
        or not _is_signed_by(pair[1], authority[1])
        or pair[1].not_valid_after_utc - now < LIFETIME / 2
    ):
        write(own, new_member(authority, address, now, service), replace=True)
        pair = read(own)
    key, certificate = text(pair)
    return {"authority": text(authority)[1], "certificate": certificate, "key": key}


def _is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:
        return False
    return True


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, str]]:
        """Return the certificates of a member, or the authority alone."""
        self.set_options(var_options=variables, direct=kwargs)
        folder, *address = terms
        now = datetime.now(UTC)
        try:
            if not address:
                return [{"authority": text(authority_in(Path(folder), now))[1]}]
            return [member(Path(folder), address[0], now, self.get_option("service"))]
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from error
