"""Try former and present secrets as the app would; run by manage.py shell. Fails with a line for each wrong answer.

Standard input: JSON with user (the administrator) and pairs, what was changed with former and present value.
"""

import json
import sys

from celery import current_app
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.db import OperationalError, connection

given = json.load(sys.stdin)


def broker(password: str) -> bool:
    """Tell whether the broker lets the app in."""
    with current_app.connection_for_write().clone(password=password) as attempt:
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


problems = []
for name, accepted in {"broker": broker, "database": database, "admin": admin, "secret_key": secret_key}.items():
    # Without a first administrator nobody has that password.
    if name in given["pairs"] and (given["user"] or name != "admin"):
        if accepted(given["pairs"][name]["former"]):
            problems.append(f"The former secret is still accepted: {name}")
        if not accepted(given["pairs"][name]["present"]):
            problems.append(f"The new secret is refused: {name}")
if "secret_key" in given["pairs"] and given["pairs"]["secret_key"]["former"] not in settings.SECRET_KEY_FALLBACKS:
    problems.append("The project doesn't read DJANGO_SECRET_KEY_FALLBACKS, so all sessions have ended: secret_key")
sys.exit("\n".join(problems) or 0)
