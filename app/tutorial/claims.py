"""What ID tokens and the userinfo endpoint tell of a user (OpenID Connect Core, section 5.1).

The place for a project's own claims: each with the scope that a client needs for it, and a function of the
user. A scope that is new is also to be described in `SCOPES` in settings.py.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User

CLAIMS: dict[str, tuple[str, Callable[[User], Any]]] = {
    "preferred_username": ("profile", lambda user: user.get_username()),
    "name": ("profile", lambda user: user.get_full_name()),
    "given_name": ("profile", lambda user: user.first_name),
    "family_name": ("profile", lambda user: user.last_name),
    "email": ("email", lambda user: user.email),
    # Nobody has verified it; an empty address has no such claim either.
    "email_verified": ("email", lambda user: False if user.email else None),
}


def claims_of(user: User) -> dict[str, tuple[str, Any]]:
    """Return those claims that have a value, with their scopes."""
    found = {name: (scope, value(user)) for name, (scope, value) in CLAIMS.items()}
    return {name: claim for name, claim in found.items() if claim[1] not in ("", None)}
