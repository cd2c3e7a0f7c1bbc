"""Give the database's role a new password while the app runs, and restart the app with it. Read by python3, as root.

Standard input: JSON with app, file (of the URL in use), url (the wanted one) and units. May print "changed".
"""

import json
import os
import subprocess
import sys
import tempfile
from urllib.parse import SplitResult, unquote, urlsplit

# Run by <app>-manage, with the URL in use. Says "ready", and changes the role at the word "go".
CODE = """
import json, sys
from django.db import OperationalError, connection

given = json.loads(sys.stdin.readline())

def refusal(password):
    connection.close()
    connection.settings_dict["PASSWORD"] = password
    try:
        connection.ensure_connection()
    except OperationalError as error:
        return str(error)

present = connection.settings_dict["PASSWORD"]
if not refusal(given["password"]):
    print("done", flush=True)
elif error := refusal(present):
    print("neither", json.dumps(error), flush=True)
else:
    user = connection.settings_dict["USER"]
    # What the server stores, so that it never sees the password, not even in its log.
    verifier = connection.connection.pgconn.encrypt_password(
        given["password"].encode(), user.encode(), b"scram-sha-256").decode()
    print("ready", flush=True)
    if sys.stdin.readline() == "go\\n":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {connection.ops.quote_name(user)} PASSWORD '{verifier}'")
        print("changed", flush=True)
"""

given = json.load(sys.stdin)


def without_password(url: str) -> SplitResult:
    """Return the parts of the URL, without its password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@"))


def replace_file(path: str, content: str) -> None:
    """Write the file with the owner and mode that it has, by a rename."""
    found = os.stat(path)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
    with os.fdopen(descriptor, "w") as file:
        os.fchown(descriptor, found.st_uid, found.st_gid)
        os.fchmod(descriptor, found.st_mode & 0o7777)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)


with open(given["file"]) as file:
    present = file.read()
wanted = urlsplit(given["url"])
if not wanted.password or without_password(present) != without_password(given["url"]):
    # Another database: whoever made it gave it its password.
    sys.exit()

manage = [f"/usr/local/bin/{given['app']}-manage", "shell", "--verbosity=0", "--command", CODE]
with subprocess.Popen(manage, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as database:
    print(json.dumps({"password": unquote(wanted.password)}), file=database.stdin, flush=True)
    answer = database.stdout.readline().split(maxsplit=1)
    if not answer or answer[0] == "neither":
        sys.exit(
            "The database takes neither the password in django_app_database_url nor the one that the host has: "
            f"{json.loads(answer[1]) if answer else 'see above'}\nSet the variable to the password that the role has, "
            "or give the role the variable's by ALTER ROLE as the database's administrator, and run the playbook again."
        )
    state = subprocess.run(["systemctl", "is-active", *given["units"]], capture_output=True, text=True, check=False)
    states = zip(given["units"], state.stdout.split(), strict=True)
    running = [unit for unit, is_active in states if is_active == "active"]
    # Each ends what it is at with the old password. Requests wait at the socket; they start a web process, which takes
    # longer to load than the rest takes here.
    for unit in running:
        subprocess.run(["systemctl", "stop", unit], check=True, stderr=subprocess.DEVNULL)
    try:
        if answer[0] == "ready":
            print("go", file=database.stdin, flush=True)
            if database.stdout.readline() != "changed\n":
                sys.exit("The database didn't change the password of its role, see above.")
            print("changed")
        replace_file(given["file"], given["url"])
    finally:
        if running:
            subprocess.run(["systemctl", "restart", *reversed(running)], check=True)
