"""Try to log in to the broker in ways that it, or the client, has to refuse; run on a host of the app, by its Python.

Standard input: JSON with address and password. Fails with the way that worked.
"""

import json
import ssl
import sys

from amqp import Connection
from amqp.exceptions import AccessRefused

given = json.load(sys.stdin)
known_by = {"ca_certs": "/etc/tutorial/authority.pem", "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "rabbitmq"}
right = {
    "host": f"{given['address']}:5671",
    "userid": "tutorial",
    "password": given["password"],
    "virtual_host": "tutorial",
    "connect_timeout": 5,
    "ssl": known_by,
}
with Connection(**right):
    pass
for what, wrong, error in (
    ("no encryption", {"host": f"{given['address']}:5672", "ssl": False}, ConnectionRefusedError),
    ("a wrong password", {"password": "wrong"}, AccessRefused),
    ("another authority", {"ssl": known_by | {"ca_certs": "/etc/ssl/certs/ca-certificates.crt"}}, ssl.SSLError),
    ("another name", {"ssl": known_by | {"server_hostname": "postgresql"}}, ssl.SSLError),
):
    try:
        with Connection(**right | wrong):
            pass
    except error:
        continue
    sys.exit(f"{what}: the login worked.")
