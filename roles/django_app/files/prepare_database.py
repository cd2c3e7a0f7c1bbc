"""Check the release, migrate, make the first administrator; run by manage.py shell. Prints one JSON line.

Standard input: JSON with check (bool), plan (bool: change nothing, tell whether it would), user (nothing: none is
made), email, fields (further fields of the user model by name), password and new_password (bool: give it to a user who
is there).
"""

import fcntl
import io
import json
import os
import sys

from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

given = json.load(sys.stdin)


def step(*arguments: str) -> list[str]:
    """Run a management command and return its lines; a refusal ends with its name and reason."""
    output = io.StringIO()
    try:
        call_command(*arguments, stdout=output, no_color=True)
    except CommandError as error:
        sys.exit(f"manage.py {' '.join(arguments)} refused:\n{output.getvalue()}{error}")
    return output.getvalue().splitlines()


# Where Ansible was killed, its migration may still be at work. Until the end of the process.
fcntl.flock(os.open(f"{os.environ['STATE_DIRECTORY']}/.migrating", os.O_CREAT | os.O_WRONLY, 0o600), fcntl.LOCK_EX)
if given["check"]:
    step("check", "--deploy")
if given["plan"]:
    planned = not any("No planned migration" in line for line in step("migrate", "--plan"))
    changed = planned or given.get("new_password", False)
else:
    changed = any(line.startswith("  Applying ") for line in step("migrate", "--noinput"))
    User = get_user_model()
    wanted = given["user"]
    user = User._default_manager.filter(**{User.USERNAME_FIELD: wanted}).first() if wanted else None
    if wanted and user is None:
        changed = True
        values = {User.USERNAME_FIELD: wanted} | given["fields"]
        mail = User.get_email_field_name()
        if mail in User.REQUIRED_FIELDS or (given["email"] and hasattr(User, mail)):
            values = {mail: given["email"]} | values
        values = {name: User._meta.get_field(name).to_python(value) for name, value in values.items()}
        User._default_manager.create_superuser(**values, password=given["password"])
    elif wanted and given["new_password"] and not user.check_password(given["password"]):
        changed = True
        user.set_password(given["password"])
        user.save(update_fields=["password"])
print(json.dumps({"changed": changed}))
