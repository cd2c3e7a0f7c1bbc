"""Try to log in to PostgreSQL in ways that it, or the client, has to refuse; run on a host of the app, by its Python.

Standard input: JSON with address, name and password. Fails with the way that worked.
"""

import json
import sys

import psycopg

given = json.load(sys.stdin)
right = {
    "host": given["address"],
    "user": "tutorial",
    "password": given["password"],
    "dbname": "tutorial",
    "sslmode": "verify-full",
    "sslrootcert": "/etc/tutorial/authority.pem",
    "connect_timeout": 5,
}
psycopg.connect(**right).close()
for what, wrong in {
    "another database": {"dbname": "postgres"},
    "the administrator": {"user": "postgres"},
    "a wrong password": {"password": "wrong"},
    "no encryption": {"sslmode": "disable"},
    "another authority": {"sslrootcert": "/etc/ssl/certs/ca-certificates.crt"},
    "another name": {"host": given["name"]},
}.items():
    try:
        psycopg.connect(**right | wrong).close()
    except psycopg.OperationalError:
        continue
    sys.exit(f"{what}: PostgreSQL let it in.")
