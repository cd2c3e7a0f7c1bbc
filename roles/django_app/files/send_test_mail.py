"""Send a test message by the settings of the project, or tell what went wrong; run by manage.py shell.

`<app>-manage test-mail` adds the call of send(), whose failure ends with one sentence. It waits up to EMAIL_TIMEOUT
seconds for each answer of the server.
"""

import smtplib
import socket
import ssl
import sys

from django.conf import settings
from django.core.mail import EmailMessage

TLS = "if it speaks TLS from the beginning, set django_app_mail_security: tls"


def said(error: smtplib.SMTPResponseException) -> str:
    """Return what the server answered, in one line."""
    text = error.smtp_error
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{error.smtp_code} {' '.join(words.split())}"


def fault(error: Exception) -> str:
    """Return what is wrong with the server, and what to set."""
    match error:
        case socket.gaierror():
            return "isn't known to this host's name servers; correct django_app_mail_host."
        case PermissionError():
            return "is kept away by the units' address filter; add its address to systemd_units_mail_addresses."
        case ConnectionRefusedError():
            return "refuses connections; correct django_app_mail_host or django_app_mail_port."
        case ssl.SSLCertVerificationError():
            return (
                f"has a certificate that isn't accepted ({error.verify_message.rstrip('.')}); name it in "
                "django_app_mail_host as the certificate does, and an authority of yours by SSL_CERT_FILE in "
                "django_app_environment."
            )
        case ssl.SSLError():
            return "doesn't begin with TLS; set django_app_mail_security: starttls, or another django_app_mail_port."
        case _ if isinstance(error, TimeoutError) or str(error).endswith("timed out"):
            return f"doesn't answer within {settings.EMAIL_TIMEOUT} seconds: a firewall is between; or, {TLS}."
        case smtplib.SMTPAuthenticationError():
            return f"refuses django_app_mail_user or django_app_mail_password: {said(error)}"
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
            return f"doesn't offer STARTTLS; {TLS}, or set another django_app_mail_port."
        case smtplib.SMTPNotSupportedError():
            return "asks for no user; remove django_app_mail_user and django_app_mail_password, or set another port."
        case smtplib.SMTPSenderRefused(smtp_code=530):
            return f"wants django_app_mail_security: starttls, or django_app_mail_user: {said(error)}"
        case smtplib.SMTPSenderRefused():
            return f"refuses the sender {error.sender} (django_app_mail_sender): {said(error)}"
        case smtplib.SMTPRecipientsRefused():
            reasons = [smtplib.SMTPResponseException(*reason) for reason in error.recipients.values()]
            return f"refuses the recipient: {'; '.join(map(said, reasons))}"
        case smtplib.SMTPServerDisconnected():
            return f"closed the connection ({error}); {TLS}."
        case smtplib.SMTPResponseException():
            return f"answers {said(error)}"
        case _:
            return f"can't be used: {type(error).__name__}: {error}"


def send(recipient: str) -> None:
    """Send it to an address, and print who took it.

    Raises:
        SystemExit: nobody did; with the reason.
    """
    backend = settings.EMAIL_BACKEND
    if backend.startswith("django.core.mail.backends.") and "smtp" not in backend:
        sys.exit("The project sends no mail; name a server in django_app_mail_host.")
    server = f"{settings.EMAIL_HOST}, port {settings.EMAIL_PORT}," if "smtp" in backend else backend
    message = EmailMessage("Test message", "This server can send mail.\n", to=[recipient])
    try:
        sent = message.send()
    # Whatever a backend of the project's own may raise.
    except Exception as error:
        sys.exit(f"{server} {fault(error)}")
    if not sent:
        sys.exit(f"{server} took nothing.")
    print(f"{server} took the message from {message.from_email} to {recipient}.")
