"""Try to log in to PostgreSQL in ways that it has to refuse; run on a host of the app, by its Python.

Standard input: JSON with address, network user, password and database. Fails with the way that worked.
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
    "sslmode": "require",
    "connect_timeout": 5,
}
psycopg.connect(**right).close()
for what, wrong in {
    "another database": {"dbname": "postgres"},
    "the administrator": {"user": "postgres"},
    "a wrong password": {"password": "wrong"},
    "no encryption": {"sslmode": "disable"},
}.items():
    try:
        psycopg.connect(**right | wrong).close()
    except psycopg.OperationalError:
        continue
    sys.exit(f"{what}: PostgreSQL let it in.")
