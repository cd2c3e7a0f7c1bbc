"""Create, change and remove OAuth applications as the inventory lists them; run by manage.py shell.

Standard input: JSON with check (bool: change nothing, tell what would be), wins (bool: overwrite what differs in the
database) and applications, each with client_id, state and fields of the model. Output: one line of JSON: changed, and
the client IDs that were created, updated, kept although they differ, and removed; the second and third with the names
of the fields.
"""

import json
import sys
from typing import Any

from django.contrib.auth.hashers import check_password, identify_hasher
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils.crypto import constant_time_compare
from oauth2_provider.models import get_application_model
from oauth2_provider.settings import oauth2_settings

Application = get_application_model()
GRANTS = {"device-code": "urn:ietf:params:oauth:grant-type:device_code"}


def fields_of(listed: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the model's fields that the list names."""
    found = {name: " ".join(value) if isinstance(value, list) else value for name, value in listed.items()}
    grant = found["authorization_grant_type"]
    return found | {"authorization_grant_type": GRANTS.get(grant, grant)}


def same(name: str, stored: Any, value: Any) -> bool:
    """Tell whether the database has the value; a secret may be stored as a hash."""
    if name != "client_secret":
        return bool(stored == value)
    try:
        identify_hasher(stored)
    except ValueError:
        return constant_time_compare(stored, value)
    return check_password(value, stored)


def store(listed: dict[str, Any], wins: bool) -> tuple[str, list[str]]:
    """Bring one application into the database; return what was done to which fields."""
    client_id, state = listed["client_id"], listed.pop("state", "present")
    rows = Application._default_manager.filter(client_id=client_id)
    if state == "absent":
        # What belongs to the application goes with it; rows of others are counted as well.
        return ("removed" if rows.delete()[0] else "same"), []
    fields = fields_of(listed)
    row = rows.select_for_update().first()
    if row is None:
        signs = oauth2_settings.OIDC_ENABLED and fields["authorization_grant_type"] != "client-credentials"
        row, done, changes = Application(algorithm="RS256" if signs else ""), "created", fields
    else:
        changes = {name: value for name, value in fields.items() if not same(name, getattr(row, name), value)}
        done = "same" if not changes else "updated" if wins else "kept"
    if done in ("created", "updated"):
        for name, value in changes.items():
            setattr(row, name, value)
        row.full_clean()
        row.save()
    return done, sorted(changes)


given = json.load(sys.stdin)
result: dict[str, Any] = {"created": [], "updated": {}, "kept": {}, "removed": []}
using = router.db_for_write(Application)
with transaction.atomic(using=using):
    for application in given["applications"]:
        name = application["client_id"]
        try:
            did, names = store(application, given["wins"])
        except ValidationError as error:
            reasons = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
            sys.exit(f"The application {name} in django_app_oauth_applications is refused: {reasons}")
        if did in ("created", "removed"):
            result[did].append(name)
        elif did != "same":
            result[did][name] = names
    # A rehearsal of the real thing, so that a check can't promise anything else.
    transaction.set_rollback(given["check"], using=using)
print(json.dumps({"changed": bool(result["created"] or result["updated"] or result["removed"]), **result}))
