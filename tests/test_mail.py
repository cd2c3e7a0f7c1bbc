"""Mail goes to a real SMTP server, and what goes wrong is told in one sentence that says what to set."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from project import ROOT, read_yaml

PASSWORD = "pass of the relay $1"
SCRIPT = (ROOT / "roles/django_app/files/send_test_mail.py").read_text(encoding="utf-8")
SENDER = "Shop <noreply@example.org>"


class Mailbox:
    """Takes what it gets, but for one sender and one recipient."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, sender: str, options: list[str]) -> str:
        if sender == "spam@example.org":
            return "550 5.7.1 not your domain"
        envelope.mail_from = sender
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, to: str, options: list[str]) -> str:
        if to == "nobody@example.org":
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.got.append(envelope)
        return "250 OK"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=data.login == b"shop" and data.password == PASSWORD.encode(), handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the server's key and its certificate, which signs itself."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + made.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def relay(certificate: Path) -> Iterator[Controller]:
    """Run a server that wants STARTTLS and a user."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    controller = Controller(
        Mailbox(),
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
    )
    controller.start()
    yield controller
    controller.stop()


@pytest.fixture(scope="module")
def plain() -> Iterator[Controller]:
    """Run a server that knows neither TLS nor users."""
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller
    controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def send(folder: Path, port: int, to: str = "ops@example.org", **variables: str) -> subprocess.CompletedProcess[str]:
    """Send a message as the command on a host does, by the default project's settings and a password in a file."""
    (folder / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    # Starts sooner, and doesn't wait as long as a request may.
    code = "from tutorial.settings import *\nINSTALLED_APPS = []\nEMAIL_TIMEOUT = 1\n"
    (folder / "impatient.py").write_text(code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "django", "shell", "--verbosity=0", "--command", f"{SCRIPT}\n\nsend({to!r})"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'app'}:{folder}",
            "DJANGO_SETTINGS_MODULE": "impatient",
            "DJANGO_SECRET_KEY": "x" * 50,
            "DATABASE_URL": "sqlite://:memory:",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(port),
            "EMAIL_USE_TLS": "true",
            "EMAIL_USE_SSL": "false",
            "EMAIL_HOST_USER": "shop",
            "EMAIL_HOST_PASSWORD_FILE": str(folder / "password"),
            "DEFAULT_FROM_EMAIL": SENDER,
        }
        | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_message_goes_over_tls_with_the_password_of_a_file(
    relay: Controller, certificate: Path, tmp_path: Path
) -> None:
    result = send(tmp_path, relay.port, SSL_CERT_FILE=str(certificate))
    assert result.stdout == f"127.0.0.1, port {relay.port}, took the message from {SENDER} to ops@example.org.\n"
    assert (result.returncode, result.stderr) == (0, "")
    envelope = relay.handler.got.pop()
    assert (envelope.mail_from, envelope.rcpt_tos) == ("noreply@example.org", ["ops@example.org"])
    assert message_from_bytes(envelope.content)["From"] == SENDER


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SSL_CERT_FILE": "/dev/null"}, "has a certificate that isn't accepted (self-signed certificate); name it in"),
        ({"EMAIL_HOST_USER": "other"}, "refuses django_app_mail_user or django_app_mail_password: 535 5.7.8 Auth"),
        ({"EMAIL_USE_TLS": "false", "EMAIL_USE_SSL": "true"}, "set django_app_mail_security: starttls, or another dja"),
        (
            {"EMAIL_USE_TLS": "false", "EMAIL_HOST_USER": ""},
            "wants django_app_mail_security: starttls, or django_app_m",
        ),
        ({"DEFAULT_FROM_EMAIL": "spam@example.org"}, "(django_app_mail_sender): 550 5.7.1 not your domain"),
        ({"EMAIL_HOST": "relay.invalid"}, "isn't known to this host's name servers; correct django_app_mail_host."),
        ({"EMAIL_HOST": ""}, "The project sends no mail; name a server in django_app_mail_host."),
    ],
)
def test_what_goes_wrong_is_told(
    relay: Controller, certificate: Path, variables: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    result = send(tmp_path, relay.port, **{"SSL_CERT_FILE": str(certificate), **variables})
    assert result.returncode == 1
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert PASSWORD not in result.stdout + result.stderr
    assert relay.handler.got == []


def test_a_recipient_that_is_refused_is_told(relay: Controller, certificate: Path, tmp_path: Path) -> None:
    result = send(tmp_path, relay.port, "nobody@example.org", SSL_CERT_FILE=str(certificate))
    assert "refuses the recipient: 550 5.1.1 no such user\n" in result.stderr


def test_a_server_without_tls_or_users_is_told_of(plain: Controller, tmp_path: Path) -> None:
    assert "doesn't offer STARTTLS; if it speaks TLS from" in send(tmp_path, plain.port).stderr
    assert "asks for no user; remove" in send(tmp_path, plain.port, EMAIL_USE_TLS="false").stderr
    assert send(tmp_path, plain.port, EMAIL_USE_TLS="false", EMAIL_HOST_USER="").returncode == 0


def test_a_silent_server_and_none_are_told_of(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert "doesn't answer within 1 seconds: a firewall is between; or" in send(tmp_path, port).stderr
    assert "refuses connections; correct django_app_mail_host or" in send(tmp_path, port).stderr


def test_units_have_the_password_as_a_credential_alone() -> None:
    variables = read_yaml(ROOT / "roles/django_app/vars/main.yml")
    assert "django_app_mail_password" not in str(variables["__django_app_mail_environment"])
    assert "'EMAIL_HOST_PASSWORD': django_app_mail_password" in variables["__django_app_credentials"]
