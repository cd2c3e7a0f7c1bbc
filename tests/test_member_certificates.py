"""Databases and brokers get certificates from an authority beside the inventory."""

import contextlib
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from project import load_plugin

CERTIFICATES = load_plugin("roles/common/lookup_plugins/member_certificates.py")
NOW = datetime(2026, 11, 27, tzinfo=UTC)


def test_members_share_an_authority_and_keep_their_certificates(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    one, other = (CERTIFICATES.member(folder, f"10.0.0.{number}", NOW) for number in (1, 2))
    assert one["authority"] == other["authority"]
    assert one["key"] != other["key"]
    assert CERTIFICATES.member(folder, "10.0.0.1", NOW) == one
    certificate = x509.load_pem_x509_certificate(one["certificate"].encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(one["authority"].encode()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_members_know_one_another_as_strictly_as_python_3_13_does(tmp_path: Path) -> None:
    contexts = []
    for number, protocol in ((1, ssl.PROTOCOL_TLS_SERVER), (2, ssl.PROTOCOL_TLS_CLIENT)):
        member = CERTIFICATES.member(tmp_path, f"10.0.0.{number}", datetime.now(UTC))
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=member["authority"])
        pair = tmp_path / f"pair{number}.pem"
        pair.write_text(member["certificate"] + member["key"])
        context.load_cert_chain(pair)
        contexts.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = contexts[0].wrap_bio(to_server, to_client, server_side=True)
    client = contexts[1].wrap_bio(to_client, to_server, server_hostname="10.0.0.1")
    for end in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert client.version() == server.version() == "TLSv1.3"
    assert server.getpeercert()
    assert client.getpeercert()


def test_a_certificate_is_renewed_in_the_second_half_of_its_life(tmp_path: Path) -> None:
    before = CERTIFICATES.member(tmp_path, "10.0.0.1", NOW)
    assert CERTIFICATES.member(tmp_path, "10.0.0.1", NOW + timedelta(days=1800)) == before
    after = CERTIFICATES.member(tmp_path, "10.0.0.1", NOW + timedelta(days=1900))
    assert after["authority"] == before["authority"]
    assert after["certificate"] != before["certificate"]


def test_a_new_authority_gives_new_certificates(tmp_path: Path) -> None:
    before = CERTIFICATES.member(tmp_path, "10.0.0.1", NOW)
    (tmp_path / "postgresql_authority.pem").unlink()
    assert CERTIFICATES.member(tmp_path, "10.0.0.1", NOW)["certificate"] != before["certificate"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    CERTIFICATES.member(tmp_path, "10.0.0.1", NOW)
    (tmp_path / "postgresql_10.0.0.1.pem").write_text("gone")
    with pytest.raises(ValueError, match=r"postgresql_10[.]0[.]0[.]1[.]pem doesn't hold a key and its certificate"):
        CERTIFICATES.member(tmp_path, "10.0.0.1", NOW)


def test_a_host_that_is_reached_by_a_name_has_it_in_its_certificate(tmp_path: Path) -> None:
    certificate = CERTIFICATES.member(tmp_path, "db.example.org", NOW)["certificate"]
    names = x509.load_pem_x509_certificate(certificate.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["db.example.org"]


def test_a_brokers_certificate_holds_for_the_name_of_all_and_lets_nobody_into_a_database(tmp_path: Path) -> None:
    pem = CERTIFICATES.member(tmp_path, "10.0.0.1", NOW, "rabbitmq")["certificate"]
    extensions = x509.load_pem_x509_certificate(pem.encode()).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["rabbitmq"]
    uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    assert CERTIFICATES.member(tmp_path, "10.0.0.1", NOW)["certificate"] != pem


def test_clients_get_the_authority_alone(tmp_path: Path) -> None:
    lookup = CERTIFICATES.LookupModule()
    lookup.set_options = lambda **_: None
    known = lookup.run([str(tmp_path)])
    assert known == [{"authority": CERTIFICATES.member(tmp_path, "10.0.0.1", NOW)["authority"]}]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "postgresql_10.0.0.1.pem",
        "postgresql_authority.pem",
    ]
