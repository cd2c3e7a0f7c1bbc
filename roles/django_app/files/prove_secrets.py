"""Try old and present secrets as the app would; run by manage.py shell. Fails with a line for each wrong answer.

Standard input: JSON with user (the administrator), pairs, what was changed with old and present value, and keys,
those of OpenID Connect, the first of which signs.
"""

import json
import os
import sys
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.db import OperationalError, connection

given = json.load(sys.stdin)


def broker(password: str) -> bool:
    """Tell whether the broker lets the app in."""
    # The alternates of a cluster have the present password in their addresses.
    with current_app.connection_for_write().clone(password=password, alternates=None) as attempt:
        try:
            attempt.connect()
        except (*attempt.connection_errors, *attempt.channel_errors) as error:
            if "ACCESS_REFUSED" not in str(error):
                raise
            return False
    return True


def database(password: str) -> bool:
    """Tell whether the database lets the app in."""
    present = connection.settings_dict["PASSWORD"]
    connection.close()
    connection.settings_dict["PASSWORD"] = password
    try:
        connection.ensure_connection()
    except OperationalError as error:
        if "authentication failed" not in str(error):
            raise
        return False
    finally:
        connection.close()
        connection.settings_dict["PASSWORD"] = present
    return True


def admin(password: str) -> bool:
    """Tell whether the administrator can log in."""
    return authenticate(**{get_user_model().USERNAME_FIELD: given["user"], "password": password}) is not None


def secret_key(key: str) -> bool:
    """Tell whether new signatures are made with the key."""
    return key == settings.SECRET_KEY


def published() -> list[str]:
    """Return which keys of OpenID Connect there are, as clients know them."""
    from oauth2_provider.settings import oauth2_settings

    return kids([oauth2_settings.OIDC_RSA_PRIVATE_KEY, *oauth2_settings.OIDC_RSA_PRIVATE_KEYS_INACTIVE])


def kids(keys: list[str]) -> list[str]:
    """Return the fingerprints of keys."""
    from jwcrypto.jwk import JWK

    return [JWK.from_pem(key.encode()).thumbprint() for key in keys]


problems = []
for name, accepted in {"broker": broker, "database": database, "admin": admin, "secret_key": secret_key}.items():
    # Without a first administrator nobody has that password.
    if name in given["pairs"] and (given["user"] or name != "admin"):
        if accepted(given["pairs"][name]["former"]):
            problems.append(f"The old secret is still accepted: {name}")
        if not accepted(given["pairs"][name]["present"]):
            problems.append(f"The new secret is refused: {name}")
# A host that never ran with the old key has it from nobody.
handed = Path(os.environ["CREDENTIALS_DIRECTORY"], "DJANGO_SECRET_KEY_FALLBACKS").read_text(encoding="utf-8")
former = given["pairs"].get("secret_key", {}).get("former")
if former in handed.splitlines() and former not in settings.SECRET_KEY_FALLBACKS:
    problems.append("The project doesn't read DJANGO_SECRET_KEY_FALLBACKS, so all sessions have ended: secret_key")
if given["keys"] and published() != kids(given["keys"]):
    problems.append("The project doesn't read OIDC_RSA_PRIVATE_KEY and OIDC_RSA_PRIVATE_KEYS_INACTIVE: oidc")
sys.exit("\n".join(problems) or 0)
