"""A mail server with TLS and a password, which keeps what it gets in /opt/clients/mail."""

import hmac
import ssl
import time
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult, LoginPassword

FOLDER = Path("/opt/clients")


def authenticate(server: object, session: object, envelope: object, mechanism: str, data: object) -> AuthResult:
    """Let one user in."""
    password = (FOLDER / "mail_password.txt").read_bytes()
    known = isinstance(data, LoginPassword) and hmac.compare_digest(data.password, password)
    return AuthResult(success=known and data.login == b"tutorial")


def main() -> None:
    """Serve until the end."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("/usr/local/share/ca-certificates/mail.crt", FOLDER / "mail.key")
    Controller(
        Mailbox(FOLDER / "mail"),
        hostname="127.0.0.1",
        port=587,
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
    ).start()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
