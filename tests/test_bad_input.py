"""What can't work is refused before any host is changed, in one sentence that says what to set.

Each case is a real run of the preflight play on this machine, which the play only reads; what the machine is comes from
the case. Everything that the run writes (generated passwords, Ansible's own folder) lands in the test's folder.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from project import JOURNAL, ROLES, ROOT, entry_points, load_plugin, read_yaml

# Part of every secret below, so never to be seen in what is printed. Too short for a password.
MARK = "hunter2-xyz"
AWKWARD = "a$b`c\"d\\e%f@g/h#i j{k}l'm"


def facts(distribution: str = "Debian", version: str = "12", init: str = "systemd") -> dict[str, Any]:
    return {
        "distribution": distribution,
        "distribution_major_version": version,
        "service_mgr": init,
        "all_ipv4_addresses": ["192.0.2.7"],
        "memtotal_mb": 961,
        "python": {"version": {"major": 3, "minor": 11}},
    }


def brokers_facts(version: str = "13") -> dict[str, Any]:
    addresses = [f"192.0.2.{number}" for number in range(1, 5)]
    return facts(version=version) | {"all_ipv4_addresses": addresses, "managed_broker": broker_facts()}


def broker_facts(node: str = "", *nodes: str) -> dict[str, Any]:
    none = {"apps": [], "shared": False, "was_here": False, "old_files": []}
    return none | {"node": node, "nodes": list(nodes)}


def databases_facts(version: str = "13", knows: object = (), data: object = ()) -> dict[str, Any]:
    """Return those of three databases, of which some know the cluster and some have data."""
    addresses = [f"192.0.2.{number}" for number in range(1, 5)]
    database = {
        "app": "tutorial",
        "knows": f"{{{{ inventory_hostname in {knows} }}}}",
        "data": f"{{{{ inventory_hostname in {data} }}}}",
        "clusters": [],
    }
    return facts(version=version) | {"all_ipv4_addresses": addresses, "managed_database": database}


NO_DATABASE: dict[str, Any] = {"app": "", "knows": False, "data": False, "clusters": []}
ON_SQLITE = {"kind": "sqlite", "file": "/var/lib/tutorial/db.sqlite3"}
LOST_SQLITE = {"kind": "sqlite", "file": ""}


def listener(port: int, program: str) -> dict[str, Any]:
    return {"port": port, "address": "", "program": program, "unit": f"{program}.service"}


def interval(every: object) -> dict[str, Any]:
    return {"model": "django_celery_beat.intervalschedule", "pk": 1, "fields": {"every": every, "period": "seconds"}}


def task(name: str) -> dict[str, Any]:
    fields = {"name": "a chore", "task": name, "interval": 1, "date_changed": "2026-01-01T00:00:00Z"}
    return {"model": "django_celery_beat.periodictask", "pk": 1, "fields": fields}


@dataclass
class Case:
    """An installation to be: the default one but for what is given."""

    id: str
    variables: dict[str, Any]
    # Part of the sentence that refuses it.
    sentence: str = ""
    app: tuple[str, ...] = ("one",)
    beat: tuple[str, ...] = ("one",)
    broker: tuple[str, ...] = ("one",)
    worker: tuple[str, ...] | None = None  # those of the app
    # These groups are there only if they have hosts.
    database: tuple[str, ...] = ()
    proxy: tuple[str, ...] = ()
    limit: str = ""
    playbook: str = "preflight.yml"
    # Where the play is started; with another folder than the project's, its ansible.cfg doesn't count.
    elsewhere: bool = False
    # As of an ansible.cfg of the operator's own.
    settings: dict[str, str] = field(default_factory=dict)
    # Text by path, beside the inventory.
    files: dict[str, str] = field(default_factory=dict)
    # The role whose preflight refuses it, `together` for the play's last task, or `play` if it takes the whole play.
    # Without it the role that has all of its variables, or the play. Of each role the play has one, too.
    by: str = ""
    # Whether its installation may be refused for other cases, too: not if what those set changes what is said of it.
    shares: bool = True

    def hosts(self) -> set[str]:
        return {*self.app, *self.broker, *self.database, *self.proxy}


def fixture_case(id_: str, text: str, sentence: str) -> Case:
    variables = {"periodic_tasks_fixture": "{{ inventory_dir }}/fixture.json"}
    return Case(id_, variables, sentence, files={"fixture.json": text})


POSTGRES = {
    "django_app_database_url": f"postgres://shop:{MARK}@db.example.org/shop",
    "rabbitmq_address": "192.0.2.7",
}
ADDRESSES = {"rabbitmq_address": "192.0.2.7", "postgresql_address": "192.0.2.7"}
CLUSTER: dict[str, Any] = {"app": ("two", "three"), "beat": ("two",), "database": ("one",)}
APART: dict[str, Any] = CLUSTER | {"app": ("two",)}
OWN_SOURCE = {"django_app_source": "{{ inventory_dir }}/app"}
HASH = f"--hash=sha256:{'0' * 64}"
LOCK = (
    f"# by uv\ndjango==5.2.1 \\\n    {HASH} \\\n    {HASH}\n    # via shop\n--index-url https://example.org/simple\n"
    f"celery==5.7.0 {HASH}\ndjango-celery-beat==2.9.0 {HASH}\n"
)
PLAIN = "django==5.2.1\ncelery==5.6.0\n"
UV_LOCK = """
requires-python = ">=3.11"
[[package]]
name = "django"
version = "5.2.1"
source = { registry = "https://pypi.org/simple" }
resolution-markers = ["python_full_version < '3.12'"]
[[package]]
name = "django"
version = "6.0"
source = { registry = "https://pypi.org/simple" }
resolution-markers = ["python_full_version >= '3.12'"]
[[package]]
name = "celery"
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "django-celery-beat"
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "shop"
source = { editable = "." }
"""
MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
OWN_FILES = {"app/manage.py": MANAGE, "app/requirements.txt": LOCK}
THREE = ("one", "two", "three")
NODES = [f"rabbit@192.0.2.{number}" for number in (1, 2, 3)]
BROKERS: dict[str, Any] = {
    "ansible_facts": brokers_facts(),
    "rabbitmq_address": "{{ {'one': '192.0.2.1', 'two': '192.0.2.2', 'three': '192.0.2.3'}[inventory_hostname] }}",
}
DATABASES: dict[str, Any] = {
    "ansible_facts": databases_facts(),
    "postgresql_address": "{{ {'one': '192.0.2.1', 'two': '192.0.2.2', 'three': '192.0.2.3'}[inventory_hostname] }}",
}
PROXY: dict[str, Any] = {"web_proxy_server_names": ["oauth.example.org"], "web_proxy_certificate": "self_signed"}
SAME_PORT = "Two services of one would use the same port: rabbitmq_port, "
UPGRADE = "ansible-playbook playbooks/upgrade_debian.yml --limit one"
OIDC_KEYS = load_plugin("roles/common/lookup_plugins/oidc_keys.py")
OIDC = {"django_app_oidc_enabled": True}
PUBLIC_KEY = OIDC_KEYS.public(OIDC_KEYS.new_key())
CURVE_KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIPAjlSfKX6JaOQPkWPpjGwi48vS0nSI0QIEZ5n7wY0eR
-----END PRIVATE KEY-----
"""
MAIL = {
    "django_app_mail_host": "smtp.example.org",
    "django_app_mail_user": "shop",
    "django_app_mail_password": MARK,
    "django_app_mail_sender": "a@example.org",
}
MAIL_PROBLEMS: list[tuple[str, dict[str, Any], str]] = [
    ("port in the host", {"host": "smtp.example.org:587"}, "must be the bare name or address of a mail server"),
    ("no host", {"host": ""}, "are for a mail server, which django_app_mail_host must name."),
    ("no port", {"port": 0}, "django_app_mail_port must be a port from 1 to 65535."),
    ("starttls at 465", {"port": 465}, "servers encrypt from the beginning: set tls, or another"),
    ("tls at 587", {"port": "587", "security": "tls"}, "servers begin in clear text: set starttls, or another"),
    ("another security", {"security": "ssl"}, "django_app_mail_security must be one of starttls, tls, none."),
    ("no password", {"password": ""}, "django_app_mail_user and django_app_mail_password belong together"),
    ("password in clear text", {"security": "none"}, "the password would cross the network in clear text"),
    ("no sender", {"sender": ""}, "django_app_mail_sender must be the address from which messages are"),
    ("sender of two lines", {"sender": "a@b.org\nBcc: c@d.org"}, "django_app_mail_sender must be one line"),
]
WEB_APP = {
    "client_id": "shop",
    "client_type": "confidential",
    "authorization_grant_type": "authorization-code",
    "redirect_uris": ["https://shop.example.org/callback"],
}
MAKE_DEMO = 'but Debian 12 or 13 with systemd is needed: name such a host in the inventory, or type "make demo"'

ACCEPTED = [
    Case(
        "another database, whose data are left",
        POSTGRES | {"ansible_facts": facts() | {"app_database": ON_SQLITE}, "django_app_leaves_database": True},
    ),
    # Nothing is bound here.
    Case(
        "Debian 13, every address, and variables of other roles",
        {
            "ansible_facts": facts(version="13"),
            "systemd_units_web_address": "0.0.0.0",  # noqa: S104
            "rabbitmq_address": "127.0.0.2",
            "web_proxy_server_names": ["oauth.example.org"],
            "backup_server": "nas.example.org",
            "status_page_url": "https://status.example.org",
            "monitoring_server": "mon.example.org",
            "rabbitmq_cluster_nodes": ["one"],
            "rabbitmq_users": [{"name": "app", "password": MARK}],
            "postgresql_databases": [{"name": "{{ undefined_elsewhere }}"}],
        },
    ),
    Case(
        "a project in src, locked by uv",
        OWN_SOURCE
        | {
            "django_app_environment": {"PYTHONPATH": "src:/usr/lib/python3/dist-packages"},
            "periodic_tasks_fixture": "{{ inventory_dir }}/fixture.json",
        },
        files={
            "app/manage.py": MANAGE.replace("shop.settings", "shop.settings.dev"),
            "app/pyproject.toml": "",
            "app/uv.lock": UV_LOCK,
            "app/src/shop/tasks.py": "@shared_task\ndef tidy():\n    pass\n",
            "app/src/shop/settings/base.py": "",
            "app/src/shop/settings/production.py": "",
            "app/src/shop/celery.py": "app = Celery('shop')\n",
            "fixture.json": json.dumps([interval(10), task("shop.tasks.tidy")]),
        },
    ),
    # Values that don't exclude one another, in one case, here and below: each host takes seconds.
    Case(
        "much of one's own",
        OIDC
        | {
            "rabbitmq_password": AWKWARD,
            "django_app_admin_password": AWKWARD,
            "systemd_units_web_port": "8080",  # numbers and switches as texts
            "django_app_served_over_tls": "yes",
            "django_app_oauth_redirect_schemes": ["com.example.app"],
            "django_app_oauth_development_origins": ["http://localhost:3000", "http://[::1]"],
            "django_app_oidc_signing_key": OIDC_KEYS.new_key(),
            "django_app_oidc_published_keys": [PUBLIC_KEY],
            "systemd_units_allowed_addresses": ["localhost", "192.0.2.0/24", "2001:db8::1"],
            "django_app_oauth_applications": [
                WEB_APP | {"name": "Shop", "allowed_origins": ["https://a.example"], "skip_authorization": True},
                {"client_id": "cli", "client_type": "public"}
                | {"authorization_grant_type": "authorization-code", "redirect_uris": ["http://127.0.0.1/"]},
                {"client_id": "old", "state": "absent"},
            ],
        },
    ),
    Case(
        "less than usual, with a key of the controller's, and the app's own host in the group database",
        OIDC
        | {
            "django_app_admin_user": "",
            "periodic_tasks_fixture": "",
            "django_app_allowed_hosts": [],
            "django_app_debug": True,
        },
        database=("one",),
    ),
    Case(
        "several beats with nothing to lose, and a mail server with a name where all addresses are allowed",
        POSTGRES
        | MAIL
        | {"django_app_mail_security": "tls", "django_app_mail_sender": "Shop <a@example.org>"}
        | {"ansible_facts": facts() | {"app_database": LOST_SQLITE}},
        app=("two", "one"),
        beat=("two", "one"),
    ),
    Case(
        "database and broker on a host of their own",
        POSTGRES | ADDRESSES | {"postgresql_clients": ["192.0.2.0/24", "198.51.100.7/32"]},
        **CLUSTER,
    ),
    Case(
        "database of before on an upgraded host",
        POSTGRES
        | ADDRESSES
        | {
            "ansible_facts": facts(version="{{ '13' if inventory_hostname == 'one' else '12' }}")
            | {"installed_packages": ["postgresql-15", "postgresql-17"]}
        },
        **APART,
    ),
    Case("the host without beat alone", POSTGRES | ADDRESSES, **CLUSTER, limit="three"),
    Case("a database, whose address the app's URL follows", ADDRESSES, **APART),
    Case(
        "a broker of somebody else in clear text",
        ADDRESSES
        | {
            "ansible_facts": facts() | {"managed_broker": broker_facts() | {"apps": ["tutorial"], "shared": True}},
            "rabbitmq_adopt": True,
            "django_app_broker_url": f"pyamqp://shop:{MARK}@192.0.2.7:5672/shop",
        },
        **APART,
    ),
    Case("the database's host alone", POSTGRES | ADDRESSES, **CLUSTER, limit="one"),
    Case(
        "three brokers and databases",
        BROKERS | DATABASES | {"ansible_facts": brokers_facts() | databases_facts()},
        broker=THREE,
        database=THREE,
    ),
    Case(
        "three brokers, of which one comes back alone",
        BROKERS
        | {
            "ansible_facts": brokers_facts() | {"managed_broker": broker_facts("rabbit@{{ rabbitmq_address }}", *NODES)}
        },
        broker=THREE,
        limit="one",
    ),
    Case(
        "three brokers in place of one, whose messages may go",
        BROKERS
        | {
            "rabbitmq_discard_queued": True,
            "ansible_facts": brokers_facts() | {"managed_broker": broker_facts("rabbit@localhost", "rabbit@localhost")},
        },
        broker=THREE,
    ),
    Case(
        "three databases, of which one comes back alone",
        DATABASES | {"ansible_facts": databases_facts(knows=THREE, data=THREE)},
        database=THREE,
        limit="one",
    ),
    Case(
        "three databases, of which one is replaced",
        DATABASES | {"ansible_facts": databases_facts(knows=("one", "two"), data=("one", "two"))},
        database=THREE,
    ),
    Case(
        "three databases in place of one, whose data are left",
        DATABASES
        | {
            "ansible_facts": databases_facts()
            | {"app_database": {"kind": "postgresql", "file": "", "hosts": ["192.0.2.9"]}},
            "django_app_leaves_database": True,
        },
        database=THREE,
    ),
    Case(
        "three databases, whose packages an earlier run has installed",
        DATABASES | {"ansible_facts": databases_facts() | {"installed_packages": ["patroni", "etcd-server"]}},
        database=THREE,
    ),
    Case(
        "started with settings of an operator's own",
        {},
        elsewhere=True,
        settings={
            "ANSIBLE_ANY_ERRORS_FATAL": "true",
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": "facts",
            "ANSIBLE_GATHERING": "smart",
            "ANSIBLE_HASH_BEHAVIOUR": "merge",
            "ANSIBLE_ROLES_PATH": "/nowhere",
            "ANSIBLE_STRATEGY": "free",
        },
    ),
    Case(
        "an installation of its own, and a broker of somebody else on the same host",
        {
            "installation": "red",
            "django_app_broker_url": f"amqp://shop:{MARK}@localhost/shop",
            "ansible_facts": facts() | {"listeners": [listener(5672, "beam.smp")]},
        },
        broker=(),
    ),
    Case(
        "a proxy on the same host with numbers and names as texts, and a mail server with a name",
        PROXY | MAIL | {"web_proxy_body_mebibytes": "20", "systemd_units_mail_addresses": ["192.0.2.0/24"]},
        proxy=("one",),
    ),
    Case(
        "a proxy elsewhere",
        PROXY | {"web_proxy_address": "192.0.2.8", "systemd_units_web_address": "192.0.2.7"},
        proxy=("two",),
    ),
]

ACCEPTED += [
    Case(
        f"{name}, in a folder of the source",
        OWN_SOURCE | variables,
        files={
            "app/backend/manage.py": MANAGE,
            "app/backend/shop/settings.py": "",
            "app/backend/shop/celery.py": "app = Celery('shop')\n",
            "app/pyproject.toml": "",
        }
        | files,
    )
    for name, variables, files in (
        (
            "a repository with its commit",
            {},
            {"app/requirements.txt": f"{LOCK}thing @ git+https://example.org/thing.git@{'0a' * 20}\n"},
        ),
        (
            "plain pins by a switch",
            {"django_app_lock_needs_hashes": False},
            {"app/requirements/production.txt": "-r base.txt\ngunicorn==23.0.0\n", "app/requirements/base.txt": PLAIN},
        ),
        (
            "a lock of Poetry",
            {"django_app_lock_extras": ["postgres"]},
            {
                "app/poetry.lock": '[[package]]\nname = "django"\nversion = "5.2.1"\n'
                '[[package]]\nname = "celery"\nversion = "5.6.0"\nmarkers = "python_version >= \'3.9\'"\n'
                '[[package]]\nname = "thing"\n[package.source]\ntype = "git"\nresolved_reference = "0a1b"\n'
                '[metadata]\npython-versions = "^3.11"\n'
            },
        ),
        (
            "a lock of uv with a repository",
            {},
            {"app/uv.lock": f'{UV_LOCK}[[package]]\nname = "thing"\nsource = {{ git = "https://example.org#0a" }}\n'},
        ),
    )
]

REFUSED = [
    # Passwords
    Case(
        "empty password", {"rabbitmq_password": ""}, "rabbitmq_password has fewer than 12 characters; set a longer one"
    ),
    Case("short password", {"rabbitmq_password": MARK}, "rabbitmq_password has fewer than 12 characters; set a longer"),
    Case(
        "short admin password",
        {"django_app_admin_password": MARK},
        "django_app_admin_password has fewer than 12 characters; set a longer one",
    ),
    Case(
        "empty database password",
        {"django_app_database_password": ""},
        "django_app_database_password has fewer than 12 characters; set a longer one",
    ),
    Case(
        "short secret key",
        {"django_app_secret_key": MARK * 4},
        "django_app_secret_key has fewer than 50 characters; set a longer one",
    ),
    # Types
    Case(
        "text for a list",
        {"django_app_allowed_hosts": "example.org"},
        "django_app_allowed_hosts must be a list, but it is text.",
    ),
    Case(
        "mapping for a list",
        {"django_app_allowed_hosts": {"example.org": True}},
        "django_app_allowed_hosts must be a list, but it is a mapping.",
    ),
    Case(
        "numbers in a list of texts",
        {"django_app_allowed_hosts": [1, 2]},
        "django_app_allowed_hosts must be a list in which each element is text.",
    ),
    Case(
        "uploads of a project with settings of its own",
        {"django_app_serves_media": True},
        "django_app_serves_media needs django_app_overrides_settings; let the project itself serve what is uploaded.",
        by="django_app",
        shares=False,
    ),
    Case(
        "password that was encrypted with its line break",
        {"rabbitmq_password": f"{MARK}-{MARK}\n"},
        "rabbitmq_password must be one line, without a line break at its end.",
    ),
    Case(
        "name of two lines",
        {"django_app_name": "shop\n"},
        "django_app_name must be made of small letters",
        by="play",
    ),
    Case("name of two words", {"django_app_name": "my shop"}, "django_app_name must be made of small letters"),
    Case(
        "hosts of two lines",
        {"django_app_allowed_hosts": ["example.org\n"]},
        "django_app_allowed_hosts must be one line each, without a line break at its end.",
    ),
    Case(
        "names of variables with line breaks",
        {"django_app_environment": {"A\n": "x"}},
        "The keys of django_app_environment must be names of variables.",
    ),
    Case(
        "names of secrets with line breaks",
        {"django_app_credentials": {"A\n": MARK}},
        "The keys of django_app_credentials must be names of variables in capitals.",
    ),
    Case("list for a password", {"rabbitmq_password": [MARK]}, "rabbitmq_password must be text, but it is a list."),
    Case("nothing for a password", {"rabbitmq_password": None}, "rabbitmq_password must be text, but it is empty."),
    Case(
        "text for a mapping of secrets",
        {"django_app_credentials": MARK},
        "django_app_credentials must be a mapping, but it is text.",
    ),
    Case(
        "text for a port",
        {"systemd_units_web_port": "http"},
        "systemd_units_web_port must be a whole number, but it is text.",
    ),
    Case(
        "number for a text",
        {"django_app_settings_module": 5},
        "django_app_settings_module must be text, but it is a whole number.",
    ),
    Case("text for a switch", {"django_app_debug": "maybe"}, "django_app_debug must be true or false, but it is text."),
    Case(
        "none of the choices",
        {"systemd_units_log_level": "LOUD"},
        "systemd_units_log_level must be one of DEBUG, INFO, WARNING, ERROR.",
    ),
    # Names
    Case(
        "typo in a name",
        {"rabbitmq_pasword": MARK},
        "rabbitmq_pasword is not a variable of this role; did you mean rabbitmq_password?",
        by="play",
    ),
    Case("capitals in the app's name", {"django_app_name": "Shop"}, "django_app_name must be made of small letters"),
    *[
        Case(f"app called {name}", {"django_app_name": name}, f"django_app_name can't be {name}, which names something")
        for name in (
            "root",
            "systemd",
            "systemd-resolve",
            "ssh",
            "mail",
            "news",
            "backup",
            "multi-user",
            "user-1000",
            "build",
        )
    ],
    Case(
        "what others have under the app's name",
        {"ansible_facts": facts() | {"app_conflicts": ["/opt/tutorial", "the user tutorial"]}},
        "On one this is not of the app: /opt/tutorial, the user tutorial; set another django_app_name, or",
        by="django_app",
    ),
    Case("path for an installation", {"installation": "../red"}, "installation must be made of letters, digits, dots,"),
    Case(
        "staging beside production",
        {},
        "/credentials holds the secrets of production.yml; set the variable installation to a name of its own for all",
        files={
            "production.yml": "",
            "credentials/.installation": '{"file": "production.yml", "installation": ""}',
            "credentials/rabbitmq_password.txt": f"{MARK}-and-more\n",
        },
    ),
    Case("guest", {"rabbitmq_user": "guest"}, "rabbitmq_user can't be guest, whom the broker"),
    Case(
        "user that no URL carries", {"rabbitmq_user": "a b"}, "rabbitmq_user and rabbitmq_vhost must be made of letters"
    ),
    Case(
        "name for the broker's address",
        {"rabbitmq_address": "localhost"},
        "rabbitmq_address and rabbitmq_management_address must",
    ),
    Case("host with scheme", {"django_app_allowed_hosts": ["https://id.example.org"]}, "must list bare host names"),
    # Values
    Case(
        "no allowed hosts with debug off",
        {"django_app_allowed_hosts": []},
        "django_app_allowed_hosts is empty and django_app_debug is false; list the names",
    ),
    Case("HSTS preload alone", {"django_app_hsts_preload": True}, "django_app_hsts_preload needs"),
    Case("negative HSTS", {"django_app_hsts_seconds": -1}, "django_app_hsts_seconds must be 0 or more."),
    Case("scheme of browsers", {"django_app_oauth_redirect_schemes": ["javascript"]}, "none that browsers know"),
    Case("scheme with colon", {"django_app_oauth_redirect_schemes": ["com.example.app:/"]}, "schemes of native apps"),
    Case(
        "life of ID tokens",
        {"django_app_oidc_id_token_seconds": 0},
        "django_app_oidc_id_token_seconds must be 1 or more.",
    ),
    Case(
        "negative life of published keys",
        {"django_app_oidc_jwks_seconds": -1},
        "django_app_oidc_jwks_seconds must be 0 or more.",
    ),
    *(
        Case(
            id_, OIDC | {"django_app_oidc_signing_key": pem}, "django_app_oidc_signing_key is no private RSA key as PEM"
        )
        for id_, pem in {
            "signing key that is none": MARK,
            "empty signing key": "",
            "public signing key": PUBLIC_KEY,
            "signing key of elliptic curves": CURVE_KEY,
        }.items()
    ),
    Case(
        "published key that is none",
        OIDC | {"django_app_oidc_published_keys": [PUBLIC_KEY, MARK]},
        "django_app_oidc_published_keys must list RSA keys as PEM",
    ),
    Case(
        "published key that is no list",
        OIDC | {"django_app_oidc_published_keys": {"a": 1}},
        "django_app_oidc_published_keys",
    ),
    Case(
        "generated keys that are damaged",
        OIDC,
        "credentials/oidc_keys.json doesn't hold the keys of OpenID Connect; restore it from a copy",
        files={"credentials/oidc_keys.json": "{}"},
        by="play",
    ),
    Case(
        "application on plain http",
        {"django_app_oauth_applications": [WEB_APP | {"redirect_uris": ["http://a.example/"]}]},
        "The application shop in django_app_oauth_applications has http://a.example/ in redirect_uris",
    ),
    Case(
        "application with a made-up secret",
        {"django_app_oauth_applications": [WEB_APP | {"client_secret": MARK}]},
        "needs a random client_secret of at least 32",
    ),
    Case("application twice", {"django_app_oauth_applications": [WEB_APP, WEB_APP]}, "names shop more than once."),
    Case(
        "application that is a text",
        {"django_app_oauth_applications": ["shop"]},
        "django_app_oauth_applications must be",
    ),
    Case("foreign origin", {"django_app_oauth_development_origins": ["http://a.example:3000"]}, "list local origins"),
    Case("origin with a path", {"django_app_oauth_development_origins": ["http://localhost:3000/"]}, "local origins"),
    Case("broker's port 0", {"rabbitmq_port": 0}, "rabbitmq_port must be a port from 1 to 65535."),
    Case("web port 0", {"systemd_units_web_port": 0}, "systemd_units_web_port must be a whole number from 1 to 65535."),
    Case(
        "port 70000",
        {"systemd_units_web_port": 70000},
        "systemd_units_web_port must be a whole number from 1 to 65535.",
    ),
    Case("broker's port for the web", {"systemd_units_web_port": 5672}, SAME_PORT, by="together"),
    Case("epmd's port for the web", {"systemd_units_web_port": 4369}, SAME_PORT, by="together"),
    Case("no address", {"systemd_units_web_address": "localhost"}, "systemd_units_web_address must be an IPv4 address"),
    Case(
        "address of another host",
        {"rabbitmq_address": "192.0.2.8", "systemd_units_web_address": "192.0.2.9"},
        "one has no such address as rabbitmq_address and systemd_units_web_address; set an address that it has (192.",
        by="together",
    ),
    Case("999 in an address", {"systemd_units_web_address": "999.1.1.1"}, "systemd_units_web_address must be an IPv4 "),
    Case(
        "name among the allowed addresses",
        {"systemd_units_allowed_addresses": ["localhost", "mail.example.org"]},
        "systemd_units_allowed_addresses must list addresses or networks, for example 192.0.2.0/24",
    ),
    *(
        Case(f"mail, {id_}", MAIL | {f"django_app_mail_{key}": value for key, value in variables.items()}, sentence)
        for id_, variables, sentence in MAIL_PROBLEMS
    ),
    Case(
        "mail, name without addresses",
        MAIL,
        "list the addresses or networks of smtp.example.org in systemd_units_mail_ad",
        by="systemd_units",
    ),
    Case(
        "second factor, perhaps",
        {"django_app_second_factor_for_staff": "perhaps"},
        "django_app_second_factor_for_staff must be",
    ),
    Case(
        "mail password in the environment",
        MAIL | {"systemd_units_mail_addresses": ["192.0.2.25"], "django_app_environment": {"RELAY": f"x:{MARK}"}},
        "django_app_environment would show everybody on the host a secret in RELAY",
        by="django_app",
    ),
    Case(
        "name among the addresses for mail",
        MAIL | {"systemd_units_mail_addresses": ["smtp.example.org"]},
        "systemd_units_mail_addresses must list addresses or networks, for example 192.0.2.25",
        by="systemd_units",
    ),
    Case(
        "no memory for a process",
        {"systemd_units_process_memory": 0},
        "systemd_units_process_memory must be a whole number from 1 to",
    ),
    Case(
        "a worker without a name",
        {"systemd_units_workers": [{"queues": ["mail"]}]},
        "In systemd_units_workers each worker needs a name of small letters, digits and dashes, other than web",
    ),
    Case(
        "a worker's queues as one text",
        {"systemd_units_workers": [{"name": "mail", "queues": "mail,slow"}]},
        "In systemd_units_workers the queues of mail must be a list of names without blanks and commas.",
    ),
    Case("workers as names", {"systemd_units_workers": ["mail"]}, "systemd_units_workers must be"),
    Case(
        "text for a command",
        {"monitoring_failure_command": f"mail -s {MARK} ops@example.org"},
        "monitoring_failure_command must be a list, but it is text.",
    ),
    Case(
        "empty word in a command",
        {"monitoring_failure_command": ["mail", "", MARK]},
        "monitoring_failure_command has an empty word; list the command and each of its arguments.",
    ),
    Case("backups kept for a negative time", {"backup_keep_weeks": -1}, "backup_keep_months must be 0 or more."),
    Case(
        "days of before",
        {"backup_kept_days": 3},
        "backup_kept_days is now called backup_keep_days; rename it where",
        by="play",
    ),
    Case(
        "misspelt variable of backups",
        {"backup_keep_day": 3},
        "backup_keep_day is not a variable of this role; did you",
        by="backup",
    ),
    Case(
        "file of before",
        {"backup_restore_file": MARK},
        "backup_restore_file is now called backup_restore_id; name a",
        by="backup",
    ),
    Case(
        "copies of before", {"backup_fetch_to": "/srv"}, "to have backups elsewhere, set backup_repository", by="backup"
    ),
    Case(
        "repository in the working folder", {"backup_repository": "backups"}, "backup_repository must be a path on the"
    ),
    Case(
        "repository behind rclone", {"backup_repository": f"rclone:{MARK}:x"}, "backup_repository must be a path on the"
    ),
    Case("repository at home", {"backup_repository": "/home/me/backups"}, "backup_repository must not lie in /home"),
    Case("repository in what is backed up", {"backup_repository": "/var/lib/tutorial/b"}, "must not lie in /home"),
    Case(
        "option for ssh as a host",
        {"backup_repository": "sftp:-oProxyCommand=x:/b", "backup_ssh_known_hosts": "x"},
        "backup_repository must be sftp:USER@HOST:/PATH",
    ),
    Case("unknown SSH server", {"backup_repository": "sftp:me@nas:/b"}, "backup_ssh_known_hosts is empty; set it to"),
    Case("short key of backups", {"backup_repository_password": MARK}, "backup_repository_password has fewer than 20"),
    Case(
        "credentials that aren't variables",
        {"backup_repository_credentials": {"key id": MARK}},
        "backup_repository_credentials must have names of environment variables",
    ),
    Case(
        "password among the credentials",
        {"backup_repository_credentials": {"RESTIC_PASSWORD": MARK}},
        "backup_repository_credentials must not have restic's password",
    ),
    Case("no time for backups", {"backup_calendar": ""}, "backup_calendar must be one line as OnCalendar= of"),
    Case(
        "private key for backups",
        {"backup_age_recipient": "AGE-SECRET-KEY-1" + MARK.upper()},
        "backup_age_recipient is gone, because restic encrypts every backup with backup_repository_password",
        by="backup",
    ),
    Case(
        "names from before there was one role",
        {"failure_report_command": [MARK], "status_old_backup_hours": 30},
        "failure_report_command is now called monitoring_failure_command, status_old_backup_hours is now called "
        "monitoring_old_backup_hours; rename it where you set it.",
        by="monitoring",
    ),
    Case(
        "a status that tells at once",
        {"monitoring_late_tokens_minutes": 0},
        "monitoring_late_tokens_minutes must be 1 or more.",
    ),
    Case(
        "memory limit", {"rabbitmq_memory_limit": "a lot"}, "rabbitmq_memory_limit and rabbitmq_disk_free_limit must be"
    ),
    Case(
        "refresh token that expires before the access token",
        {"django_app_refresh_token_seconds": 60},
        "django_app_refresh_token_seconds must not be less than django_app_access_token_seconds",
    ),
    Case(
        "database that Django is not set up for",
        {"django_app_database_url": f"redis://shop:{MARK}@db.example.org/0"},
        "django_app_database_url must begin with sqlite:// or postgres://",
    ),
    Case(
        "broker that is no RabbitMQ",
        {"django_app_broker_url": f"redis://shop:{MARK}@mq.example.org/0"},
        "django_app_broker_url must begin with amqp://, amqps:// or pyamqp://",
    ),
    # Files
    Case(
        "source without anything",
        OWN_SOURCE,
        "names Django's settings (there is no manage.py); set django_app_settings_module, or django_app_source to the",
        files={"app/requirements.txt": ""},
    ),
    Case("source that isn't there", OWN_SOURCE, "There is no folder ", files={"other/requirements.txt": ""}),
    Case(
        "two projects in one folder",
        OWN_SOURCE,
        "manage.py is in admin, shop of ",
        files={"app/requirements.txt": LOCK, "app/admin/manage.py": MANAGE, "app/shop/manage.py": MANAGE},
    ),
    Case(
        "project folder that isn't there",
        OWN_SOURCE | {"django_app_project_folder": "backend"},
        "django_app_project_folder is backend, which is no folder in ",
        files=OWN_FILES,
    ),
    Case(
        "settings that aren't there",
        OWN_SOURCE | {"django_app_settings_module": "shop.setings"},
        "django_app_settings_module names shop.setings, which isn't in ",
        files=OWN_FILES | {"app/shop/settings.py": ""},
    ),
    Case(
        "no Celery app",
        OWN_SOURCE,
        "without which nothing could run by schedule; make one as Celery's documentation says",
        files=OWN_FILES | {"app/shop/settings.py": ""},
        by="systemd_units",
    ),
    Case(
        "two Celery apps",
        OWN_SOURCE,
        "are mail.worker:app, tidy.worker:queue; set systemd_units_celery_app to one of them.",
        files=OWN_FILES
        | {
            "app/shop/settings.py": "",
            "app/mail/worker.py": "app = Celery('mail')\n",
            "app/tidy/worker.py": "queue: Celery = celery.Celery('tidy')\n",
        },
        by="systemd_units",
    ),
    Case(
        "WSGI module that isn't there",
        OWN_SOURCE | {"systemd_units_wsgi": "shop.wsgy:application"},
        "systemd_units_wsgi names shop.wsgy, which isn't in ",
        files=OWN_FILES
        | {"app/shop/settings.py": "", "app/shop/celery.py": "app = Celery('shop')\n", "app/shop/wsgi.py": ""},
    ),
    Case(
        "source without lock file",
        OWN_SOURCE,
        "set django_app_lock_file to the project's pinned",
        files={"app/manage.py": MANAGE},
    ),
    *[
        Case(f"lock file: {name}", OWN_SOURCE, sentence, files={"app/manage.py": MANAGE, "app/requirements.txt": text})
        for name, text, sentence in (
            (
                "no hash",
                "django==5.2.1\n",
                'requirements.txt has no hash for "django==5.2.1"; install needs pinned and',
            ),
            ("no version", f"django>=5 {HASH}\n", 'requirements.txt has "django>=5" without a version; install needs'),
            ("one without hash", f"{LOCK}gunicorn==23.0.0\n", 'requirements.txt has no hash for "gunicorn==23.0.0"'),
            ("editable", f"{LOCK}-e .\n", 'requirements.txt has "-e .", a folder, which has no hash'),
            ("path", f"{LOCK}./lib/thing\n", 'requirements.txt has "./lib/thing", a folder, which has no hash'),
            (
                "git",
                f"{LOCK}thing @ git+https://user:{MARK}@example.org/thing.git@0a1b\n",
                'requirements.txt has "thing @ git+https://example.org/thing.git@0a1b", a repository without a commit',
            ),
            ("include outside", f"{LOCK}-r ../base.txt\n", "base.txt is outside of "),
            ("include of nothing", f"{LOCK}-r base.txt\n", "There is no base.txt in "),
            (
                "an ancient scheduler",
                LOCK.replace("beat==2.9.0", "beat==2.1.0"),
                "has django-celery-beat 2.1.0, but 2.5 or newer is needed; lock a newer one, or remove it to get",
            ),
            ("empty", "# nothing\n", "requirements.txt is empty; install needs pinned and hashed"),
            (
                "no Celery",
                f"django==5.2.1 {HASH}\n",
                "requirements.txt lacks celery, without which worker and beat can't run; add",
            ),
            (
                "Django 6 on Debian 12",
                LOCK.replace("5.2.1", "6.0.2"),
                "has Django 6.0.2, which needs Python 3.12, but the host has 3.11; take a host with Debian 13, or lock",
            ),
            ("Django 3", LOCK.replace("5.2.1", "3.2"), "has django 3.2, but 4.2 or newer is needed; lock a newer one."),
            (
                "gunicorn 22",
                f"{LOCK}gunicorn==22.0.0 {HASH}\n",
                "has gunicorn 22.0.0, but 23 or newer is needed; lock a newer one, or",
            ),
        )
    ],
    Case(
        "lock file above the source",
        OWN_SOURCE | {"django_app_lock_file": "../requirements.txt"},
        "requirements.txt is outside of ",
        files={"app/manage.py": MANAGE, "requirements.txt": LOCK},
    ),
    Case(
        "lock file of Pipenv",
        OWN_SOURCE | {"django_app_lock_file": "Pipfile.lock"},
        'which is no list of requirements; make one with "pipenv requirements --hash > requirements.txt" and',
        files={"app/manage.py": MANAGE, "app/Pipfile.lock": ""},
    ),
    Case(
        "lock file of Poetry without its project",
        OWN_SOURCE,
        "There is no pyproject.toml beside poetry.lock, which Poetry needs to read it; add it.",
        files={"app/manage.py": MANAGE, "app/poetry.lock": ""},
    ),
    Case(
        "folder in a lock file of Poetry",
        OWN_SOURCE,
        "poetry.lock has thing, a directory, which has no hash; publish it to an index of yours.",
        files={
            "app/manage.py": MANAGE,
            "app/pyproject.toml": "",
            "app/poetry.lock": '[[package]]\nname = "thing"\n[package.source]\ntype = "directory"\nurl = "lib"\n',
        },
    ),
    Case(
        "lock file of uv without its project",
        OWN_SOURCE | {"django_app_lock_file": "uv.lock"},
        "There is no pyproject.toml beside uv.lock, which uv needs to read it; add it.",
        files={"app/manage.py": MANAGE, "app/uv.lock": "version = 1\n"},
    ),
    Case(
        "lock file of uv for a newer Python",
        OWN_SOURCE | {"django_app_lock_file": "uv.lock"},
        "The project needs Python >=3.12 (requires-python), but the host has 3.11; take a host with another Debian",
        files={"app/manage.py": MANAGE, "app/pyproject.toml": "", "app/uv.lock": 'requires-python = ">=3.12"\n'},
    ),
    Case(
        "folder in a lock file of uv",
        OWN_SOURCE | {"django_app_lock_file": "uv.lock"},
        "uv.lock has thing, a folder, which has no hash; publish it to an index of yours.",
        files={
            "app/manage.py": MANAGE,
            "app/pyproject.toml": "",
            "app/uv.lock": f'[[package]]\nname = "thing"\nsource = {{ directory = "lib/{MARK}" }}\n',
        },
    ),
    Case(
        "variables that the units set",
        {"django_app_environment": {"CELERY_LOADER": "x", "TRUSTED_PROXIES": "192.0.2.7"}},
        "django_app_environment can't set CELERY_LOADER, TRUSTED_PROXIES, which the units set themselves; remove it",
    ),
    *[
        Case(
            f"folder of packages: {folder}",
            OWN_SOURCE | {"django_app_python_path": [folder]},
            f"{folder} in django_app_python_path is no folder in ",
            files=OWN_FILES,
        )
        for folder in ("lib", "../lib")
    ],
    Case(
        "project for a newer Python",
        OWN_SOURCE,
        "The project needs Python >=3.12 (requires-python), but the host has 3.11; take a host with another Debian",
        files=OWN_FILES | {"app/pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'},
    ),
    Case(
        "no value in the environment",
        {"django_app_environment": {"GOOD": "", "BAD": None, "PORT": 1, "LIST": ["a"]}},
        "which BAD, LIST is not; give it one",
    ),
    Case(
        "secret in the environment",
        {
            "django_app_environment": {
                "KEY": "{{ django_app_secret_key }}",
                "URL": "x://y:{{ django_app_admin_password }}@z",
            }
        },
        "django_app_environment would show everybody on the host a secret in KEY, URL; set it in django_app_cred",
    ),
    Case(
        "no fixture",
        {"periodic_tasks_fixture": "{{ inventory_dir }}/none.json"},
        "/none.json does not exist; set periodic_tasks_fixture to a file on the controller.",
        by="periodic_tasks",
        shares=False,
    ),
    fixture_case("fixture that is not JSON", "- every: 10", "/fixture.json is not JSON ("),
    fixture_case(
        "JSON that is no fixture", '{"every": 10}', "/fixture.json is not a Django fixture: a list of objects"
    ),
    fixture_case(
        "interval of 0",
        json.dumps([interval(0), task("tutorial.tasks.clear_tokens")]),
        "/fixture.json has every = 0; set a whole number of 1 or more.",
    ),
    fixture_case(
        "task that the app doesn't register",
        json.dumps([interval(10), task("tutorial.tasks.clear_token")]),
        "does not register; did you mean tutorial.tasks.clear_tokens?",
    ),
    Case(
        "fixture of a project that extends the default one",
        OWN_SOURCE | {"django_app_settings_module": "shop.settings"},
        "/app/tutorial/fixtures/periodic_tasks.json is not JSON (",
        files={
            "app/manage.py": MANAGE,
            "app/requirements.txt": LOCK,
            "app/tutorial/fixtures/periodic_tasks.json": "- every: 10",
        },
        by="periodic_tasks",
    ),
    # Hosts
    Case("Ubuntu", {"ansible_facts": facts("Ubuntu", "24")}, f"one runs Ubuntu 24 with systemd as PID 1, {MAKE_DEMO}"),
    Case("Debian 11", {"ansible_facts": facts(version="11")}, f"one runs Debian 11 with systemd as PID 1, {MAKE_DEMO}"),
    Case(
        "no localhost",
        {"ansible_facts": facts() | {"localhost_is_loopback": False}},
        "On one the name localhost doesn't mean 127.0.0.1, without which RabbitMQ can't start; add the line",
        by="together",
    ),
    Case(
        "the web port is taken",
        {
            "ansible_facts": facts()
            | {"listeners": [{"port": 8000, "address": "", "program": "nginx", "unit": "nginx.service"}]}
        },
        "On one nginx listens on port 8000; set systemd_units_web_port to a free one, or stop that.",
        by="together",
    ),
    Case(
        "the broker's port is taken",
        {
            "ansible_facts": facts()
            | {"listeners": [{"port": 5672, "address": "", "program": "docker-proxy", "unit": "docker.service"}]}
        },
        "On one docker-proxy listens on 5672, where RabbitMQ would; set rabbitmq_port",
        by="together",
    ),
    Case("no systemd", {"ansible_facts": facts(init="bash")}, f"one runs Debian 12 with bash as PID 1, {MAKE_DEMO}"),
    Case(
        "Debian 13 with the broker's data of Debian 12",
        {"ansible_facts": facts(version="13") | {"old_broker_data": ["rabbit@localhost"]}},
        "one runs Debian 13, but RabbitMQ's data (rabbit@localhost) were written by that of Debian 12",
        by="together",
    ),
    Case(
        "Debian 12 with the sources of Debian 13",
        {"ansible_facts": facts() | {"apt_suites": ["bookworm-updates", "trixie", "trixie-security"]}},
        f"name trixie, trixie-security, so a package would bring half of Debian 13 along; upgrade the host: {UPGRADE}",
        by="together",
    ),
    Case(
        "two brokers",
        POSTGRES,
        "The group broker has 2 hosts (one, two), but a cluster is made of three, of which any two are enough; name",
        broker=("one", "two"),
        by="together",
    ),
    Case(
        "PostgreSQL where SQLite has the data",
        POSTGRES | {"ansible_facts": facts() | {"app_database": ON_SQLITE}},
        "one runs on SQLite (/var/lib/tutorial/db.sqlite3), of which the PostgreSQL of the inventory knows nothing;",
        by="together",
    ),
    Case(
        "SQLite where PostgreSQL has the data",
        {"ansible_facts": facts() | {"app_database": {"kind": "postgresql", "file": ""}}},
        "one runs on PostgreSQL, and the inventory says SQLite, which knows nothing of what is in it; set",
        by="together",
    ),
    Case(
        "four brokers",
        POSTGRES,
        "The group broker has 4 hosts (one, two, three, four), but a cluster is made of three",
        broker=("one", "two", "three", "four"),
        by="together",
    ),
    Case(
        "three brokers on both Debians",
        BROKERS | {"ansible_facts": brokers_facts(version="{{ '12' if inventory_hostname == 'two' else '13' }}")},
        "two runs Debian 12, but three brokers need Debian 13 on all three",
        broker=THREE,
        by="together",
    ),
    Case(
        "three brokers without addresses",
        {"ansible_facts": brokers_facts()},
        "Three brokers find one another by address, which can't be one, two, three; set rabbitmq_address of each to",
        broker=THREE,
        by="rabbitmq",
    ),
    Case(
        "three brokers with one address",
        BROKERS | {"rabbitmq_address": "192.0.2.1"},
        "which can't be 192.0.2.1, 192.0.2.1, 192.0.2.1; set rabbitmq_address of each to an IPv4 address of its own",
        broker=THREE,
        by="rabbitmq",
    ),
    Case(
        "three brokers, one on the loopback interface",
        BROKERS | {"rabbitmq_address": BROKERS["rabbitmq_address"].replace("192.0.2.1", "127.0.0.1")},
        "find one another by address, which can't be 127.0.0.1; set rabbitmq_address of each to an IPv4 address of",
        broker=THREE,
        by="rabbitmq",
    ),
    Case(
        "three brokers with names of their own",
        BROKERS | {"rabbitmq_node_name": "shop@localhost"},
        "rabbitmq_node_name can't be set for three brokers, whose nodes are called by their addresses; remove it.",
        broker=THREE,
        by="rabbitmq",
    ),
    Case(
        "three brokers with a cookie that Erlang wouldn't read",
        BROKERS | {"rabbitmq_erlang_cookie": MARK},
        "rabbitmq_erlang_cookie must be made of 20 to 200 letters and digits.",
        broker=THREE,
        by="rabbitmq",
    ),
    Case(
        "three brokers of somebody else",
        BROKERS | {"rabbitmq_adopt": True},
        "rabbitmq_adopt can't be set for three brokers, which are nobody else's; remove it.",
        broker=THREE,
        by="rabbitmq",
    ),
    Case(
        "new brokers without all of the others",
        BROKERS,
        "192.0.2.3), which two, three must know, too; run it without --limit.",
        broker=THREE,
        limit="one",
    ),
    Case(
        "some of three brokers that have yet to begin with TLS",
        BROKERS
        | {
            "ansible_facts": brokers_facts()
            | {"managed_broker": broker_facts("rabbit@{{ rabbitmq_address }}", *NODES) | {"inter_node_tls": False}}
        },
        "without TLS until a run stops and starts them together, which two, three must be part of, too; run it without",
        broker=THREE,
        limit="one",
    ),
    Case(
        "three brokers in place of one",
        BROKERS
        | {
            "ansible_facts": brokers_facts()
            | {
                "managed_broker": f"{{{{ {broker_facts('rabbit@localhost', 'rabbit@localhost')} "
                f"if inventory_hostname == 'one' else {broker_facts()} }}}}"
            }
        },
        "one has the broker rabbit@localhost, and what is queued in it wouldn't be in rabbit@192.0.2.1; let ticks and",
        broker=THREE,
        by="together",
    ),
    Case(
        "one broker in place of three",
        {"ansible_facts": facts() | {"managed_broker": broker_facts("rabbit@192.0.2.7", "rabbit@192.0.2.7")}},
        "one has the broker rabbit@192.0.2.7, and what is queued in it wouldn't be in rabbit@localhost; let ticks and",
        by="together",
    ),
    Case(
        "two databases",
        POSTGRES | ADDRESSES,
        "The group database has 2 hosts (one, two), but a cluster is made of three, of which any two are enough; name",
        app=("one", "two"),
        database=("one", "two"),
        by="together",
    ),
    Case(
        "four databases",
        POSTGRES | ADDRESSES,
        "The group database has 4 hosts (one, two, three, four), but a cluster is made of three",
        database=("one", "two", "three", "four"),
        by="together",
    ),
    Case(
        "three databases on both Debians",
        DATABASES | {"ansible_facts": databases_facts(version="{{ '12' if inventory_hostname == 'two' else '13' }}")},
        "two runs Debian 12, but three databases need Debian 13 on all three; upgrade it first, or name one database.",
        database=THREE,
        by="together",
    ),
    Case(
        "three databases without addresses",
        {"ansible_facts": databases_facts()},
        "Three databases find one another by address, which can't be one, two, three; set postgresql_address of each",
        database=THREE,
        by="postgresql",
    ),
    Case(
        "three databases with one address",
        DATABASES | {"postgresql_address": "192.0.2.1"},
        "which can't be 192.0.2.1, 192.0.2.1, 192.0.2.1; set postgresql_address of each to an IPv4 address of its own",
        database=THREE,
        by="postgresql",
    ),
    Case(
        "three databases, one on the loopback interface",
        DATABASES | {"postgresql_address": DATABASES["postgresql_address"].replace("192.0.2.1", "127.0.0.1")},
        "Three databases find one another by address, which can't be 127.0.0.1; set postgresql_address of each to an",
        database=THREE,
        by="postgresql",
    ),
    Case(
        "three databases of somebody else",
        DATABASES | {"postgresql_adopt": True},
        "postgresql_adopt can't be set for three databases, which are nobody else's; remove it.",
        database=THREE,
        by="postgresql",
    ),
    Case(
        "three databases, where one of Debian is",
        DATABASES
        | {
            "ansible_facts": databases_facts()
            | {
                "managed_database": NO_DATABASE
                | {"clusters": "{{ ['17/main'] if inventory_hostname == 'one' else [] }}"}
            }
        },
        "one has a PostgreSQL already (17/main), of which three databases would know nothing; name another host in",
        database=THREE,
        by="postgresql",
    ),
    Case(
        "three databases, where somebody has etcd",
        DATABASES
        | {
            "ansible_facts": databases_facts()
            | {
                "installed_packages": "{{ ['etcd-server'] if inventory_hostname == 'one' else [] }}",
                "managed_database": NO_DATABASE,
            }
        },
        "one has etcd-server of somebody else; name another host in the group database.",
        database=THREE,
        by="postgresql",
    ),
    Case(
        "three databases, where somebody listens",
        DATABASES
        | {
            "ansible_facts": databases_facts()
            | {"listeners": f"{{{{ [{listener(2379, 'consul')}] if inventory_hostname == 'one' else [] }}}}"}
        },
        "On one consul listens on 2379, which one of three databases needs; stop that, or name another host in the",
        database=THREE,
        by="together",
    ),
    Case(
        "three databases that run with another authority",
        DATABASES
        | {
            "ansible_facts": databases_facts(knows=THREE, data=THREE)
            | {"listeners": f"{{{{ [{listener(2379, 'etcd')}] if inventory_hostname == 'one' else [] }}}}"}
        },
        "postgresql_authority.pem in credentials/ is another one than that of the running database of one, which would",
        database=THREE,
    ),
    Case(
        "three databases, of which two are lost",
        DATABASES | {"ansible_facts": databases_facts(knows=("one",), data=("one",))},
        "Two of three databases are new (192.0.2.2, 192.0.2.3), so that nobody can say what the third one holds is the",
        database=THREE,
        by="postgresql",
    ),
    Case(
        "new databases without all of the others",
        DATABASES,
        "192.0.2.3), which two, three must know, too; run it without --limit.",
        database=THREE,
        limit="one",
    ),
    Case(
        "a URL of one of three databases",
        DATABASES | {"django_app_database_url": f"postgres://shop:{MARK}@192.0.2.1/shop"},
        "The group database has three hosts, but django_app_database_url names 192.0.2.1; remove the variable, so that",
        database=THREE,
        by="together",
    ),
    Case(
        "three databases in place of one",
        DATABASES
        | {
            "ansible_facts": databases_facts()
            | {"app_database": {"kind": "postgresql", "file": "", "hosts": ["192.0.2.9"]}}
        },
        "one runs on PostgreSQL of 192.0.2.9, of which that of the inventory knows nothing; back up (ansible-playbook",
        database=THREE,
        by="together",
    ),
    Case(
        "one database in place of three",
        POSTGRES | ADDRESSES | {"ansible_facts": databases_facts(knows=THREE, data=THREE)},
        "one has one of three databases, with data of which a database of its own would know nothing; name all three",
        database=("one",),
        by="postgresql",
    ),
    Case(
        "broker elsewhere, but no address of it",
        {"django_app_database_url": POSTGRES["django_app_database_url"]},
        "Hosts of the app would look for the broker on themselves, but that is one; set rabbitmq_address of one to the",
        app=("two",),
        beat=("two",),
        by="together",
    ),
    Case(
        "database elsewhere, but no address of it",
        ADDRESSES | {"django_app_database_url": f"postgres://shop:{MARK}@localhost/shop"},
        "Hosts of the app would look for the database on themselves, but that is one; set postgresql_address of one to",
        **CLUSTER,
        by="together",
    ),
    Case(
        "broker elsewhere, to which the password would go in clear text",
        ADDRESSES | {"django_app_broker_url": f"pyamqp://shop:{MARK}@192.0.2.7:5672/shop"},
        "django_app_broker_url would send the password to 192.0.2.7 in clear text, which the broker there doesn't take",
        **CLUSTER,
        by="django_app",
    ),
    Case(
        "port of AMQP over TLS for AMQP without it",
        ADDRESSES | {"rabbitmq_tls_port": 5672},
        SAME_PORT,
        **CLUSTER,
        by="together",
    ),
    Case(
        "database elsewhere, which listens on its host alone",
        {"rabbitmq_address": "192.0.2.7"},
        "Hosts of the app would look for the database on themselves, but that is one; set postgresql_address of one to",
        **CLUSTER,
        by="together",
    ),
    Case(
        "SQLite in place of the group's database",
        {"ansible_facts": facts() | {"app_database": ON_SQLITE}},
        "one runs on SQLite (/var/lib/tutorial/db.sqlite3), of which the PostgreSQL of the inventory knows nothing; br",
        database=("one",),
        by="together",
    ),
    Case(
        "SQLite beside a database server",
        {"django_app_database_url": "sqlite:////var/lib/tutorial/db.sqlite3"},
        "The group database has one, but the app would use a SQLite file; remove django_app_database_url, so that it",
        database=("one",),
        by="together",
    ),
    Case(
        "database newer than the programs that back it up",
        POSTGRES | ADDRESSES | {"ansible_facts": facts(version="{{ '13' if inventory_hostname == 'one' else '12' }}")},
        "one has Debian 13, whose PostgreSQL the older one of two can't back up; name a host with Debian 13 first in",
        **CLUSTER,
        by="together",
    ),
    Case(
        "name for the database's address",
        POSTGRES | {"postgresql_address": "db.example.org"},
        "postgresql_address must be an IPv4 address, for example 127.0.0.1.",
        database=("one",),
        by="postgresql",
    ),
    Case(
        "address for a network",
        POSTGRES | {"postgresql_clients": ["192.0.2.7"]},
        "postgresql_clients must be networks such as 10.0.0.0/24, or 10.0.0.7/32 for a single host.",
        database=("one",),
        by="play",
    ),
    Case(
        "memory of PostgreSQL without a unit",
        POSTGRES | {"postgresql_shared_buffers": "512"},
        "postgresql_shared_buffers must be a number with the unit MB or GB, for example 512MB.",
        database=("one",),
        by="postgresql",
    ),
    Case(
        "administrator for the app",
        POSTGRES | {"postgresql_user": "postgres"},
        "postgresql_user can't be postgres, who may do everything; set another name.",
        database=("one",),
        by="postgresql",
    ),
    Case(
        "password that PostgreSQL's clients would change",
        POSTGRES | {"django_app_database_password": "Ⅸ²" + MARK},
        "postgresql_password must be made of printable ASCII characters; set another one in django_app_database_pass",
        database=("one",),
        by="postgresql",
    ),
    Case(
        "upgrade of the database's host",
        POSTGRES | ADDRESSES | {"ansible_facts": facts() | {"apt_suites": ["trixie"]}},
        "half of Debian 13 along; name bookworm again, or finish the upgrade by hand.",
        app=("two",),
        beat=("two",),
        broker=("two",),
        database=("one",),
        limit="one",
    ),
    Case(
        "restore on a part",
        POSTGRES | ADDRESSES,
        "replaces their database, but --limit leaves out two; run it without --limit.",
        **CLUSTER,
        limit="three",
        playbook="restore.yml",
    ),
    Case(
        "backup without the host that makes it",
        POSTGRES | ADDRESSES,
        "Backups are made on two, which --limit leaves out; name it, or run it without --limit.",
        **CLUSTER,
        limit="three",
        playbook="backup.yml",
    ),
    Case(
        "rotation on a part",
        POSTGRES | ADDRESSES,
        "two would keep the old secrets; run it without --limit.",
        **CLUSTER,
        limit="one,three",
        playbook="rotate_secrets.yml",
    ),
    Case(
        "upgrade of this machine by itself",
        {"debian_upgrade_confirmed": True},
        "one would reboot the machine on which the playbook runs; run it on another one, with one reached by SSH.",
        playbook="upgrade_debian.yml",
    ),
    Case(
        "Ansible of Debian 12",
        {},
        "ansible-core 2.14.18 is too old, 2.19.5 or newer is needed: python3 -m venv .venv, then .venv/bin/pip install",
        files={"sitecustomize.py": "import ansible.release\n\nansible.release.__version__ = '2.14.18'\n"},
    ),
    Case(
        "roles that don't know one another's variables",
        {},
        "private_role_vars is on, but these roles share variables; set private_role_vars = False in ansible.cfg, or",
        settings={"ANSIBLE_PRIVATE_ROLE_VARS": "true"},
        elsewhere=True,
    ),
    Case(
        "another user than root",
        {"ansible_facts": facts() | {"user_id": "oracle"}},
        "The tasks on one would run as oracle, not as root; take become_user out of ansible.cfg, and ansible_become",
    ),
    Case(
        "clear text in front of everybody",
        {"systemd_units_web_address": "192.0.2.7", "django_app_served_over_tls": True},
        "Anybody who reaches 192.0.2.7 could pass clear text for TLS; list the proxies in front in systemd_units_web_",
        by="systemd_units",
    ),
    Case(
        "name of a proxy",
        {"systemd_units_web_proxies": ["proxy.example.org"]},
        "systemd_units_web_proxies must list addresses or networks, for example 10.0.0.5 or 10.0.0.0/24, and not every",
    ),
    Case(
        "everybody as a proxy",
        {"systemd_units_web_address": "192.0.2.7", "systemd_units_web_proxies": ["0.0.0.0/0"]},
        "systemd_units_web_proxies must list addresses or networks, for example 10.0.0.5 or 10.0.0.0/24, and not every",
    ),
    *[
        Case(f"proxy: {name}", PROXY | variables, sentence, proxy=("one",), by="web_proxy")
        for name, variables, sentence in (
            ("no name", {"web_proxy_server_names": []}, "web_proxy_server_names is empty; list the names under which"),
            (
                "host that the app refuses",
                {"django_app_allowed_hosts": ["b.org"]},
                "The app would refuse oauth.example.org; add it to django_app_allowed_hosts, or remove that variable",
            ),
            (
                "nginx of others",
                {"ansible_facts": facts() | {"installed_packages": ["nginx", "nginx-common"]}},
                "one has an nginx that somebody else uses (nginx, nginx-common); name another host in the group proxy",
            ),
            (
                "what is left of an nginx of others",
                {"ansible_facts": facts() | {"proxy_paths": ["/etc/nginx", "/etc/letsencrypt"]}},
                "one has an nginx that somebody else uses (/etc/nginx); name another host in the group proxy, purge",
            ),
            (
                "certificates of others",
                {
                    "web_proxy_certificate": "acme",
                    "ansible_facts": facts() | {"proxy_paths": ["/etc/letsencrypt"], "managed_certificates": "shop"},
                },
                "one has a certbot that somebody else uses (/etc/letsencrypt); name another host in the group proxy",
            ),
            (
                "proxy of another app",
                {"ansible_facts": facts() | {"installed_packages": ["nginx"], "managed_proxy": "shop"}},
                "The nginx of one stands in front of shop; name another host in the group proxy.",
            ),
            (
                "port 80 is taken",
                {"ansible_facts": facts() | {"listeners": [listener(80, "apache2"), listener(443, "apache2")]}},
                "On one apache2 listens on port 80 and 443, where nginx would; stop that, or name another host in the",
            ),
        )
    ],
    Case(
        "proxy: no socket",
        PROXY | {"systemd_units_web_socket": ""},
        "systemd_units_web_socket is empty, but nginx on this host",
        proxy=("one",),
        by="systemd_units",
    ),
    Case(
        "web host of which proxies know no address",
        PROXY | {"web_proxy_address": "192.0.2.8"},
        "two would look for web hosts at one:8000; set systemd_units_web_address of each of them to the IPv4 address",
        proxy=("two",),
        by="web_proxy",
    ),
    Case(
        "proxy of which web hosts know no address",
        PROXY | {"systemd_units_web_address": "192.0.2.7"},
        "Web hosts would let in two at two; set its web_proxy_address to the IPv4 address from which it reaches them.",
        proxy=("two",),
        by="play",
    ),
    Case(
        "no beat",
        {},
        "The group beat has no host; name one, without which nothing is sent, or several",
        beat=(),
        by="together",
    ),
    Case(
        "no worker",
        {},
        "The group worker has no host; name one, without which nothing that is sent is",
        worker=(),
        by="together",
    ),
    Case(
        "no broker",
        {},
        "one would look for the broker on itself, where nothing listens on port 5672; name the host in",
        broker=(),
        by="together",
    ),
    Case(
        "two beats on SQLite",
        ADDRESSES,
        "The group app has 2 hosts, which can't share a SQLite file; set django_app_database_url to a PostgreSQL",
        app=("one", "two"),
        beat=("one", "two"),
        by="together",
    ),
    Case(
        "primary where one database is",
        POSTGRES,
        "The group database has 1 host, of which none can take over; only of three databases one is the primary.",
        database=("one",),
        playbook="switch_over.yml",
    ),
    Case(
        "primary that has no database",
        DATABASES | {"switch_over_to": "four"},
        "four is not in the group database; set switch_over_to to one of one, two, three.",
        database=THREE,
        playbook="switch_over.yml",
    ),
    Case(
        "beat that can move nowhere",
        {"move_beat_to": "one"},
        "The group beat has one alone; name a further host in it and run ansible-playbook site.yml, before beat can",
        playbook="move_beat.yml",
    ),
    Case(
        "beat moved to nobody",
        POSTGRES,
        "No host was named; set move_beat_to to one of two, one: --extra-vars move_beat_to=one.",
        app=("two", "one"),
        beat=("two", "one"),
        playbook="move_beat.yml",
    ),
    Case(
        "beat moved to a host without it",
        POSTGRES | {"move_beat_to": "three"},
        "three is not in the group beat; set move_beat_to to one of one, two: --extra-vars move_beat_to=two.",
        app=("one", "two", "three"),
        beat=("one", "two"),
        playbook="move_beat.yml",
    ),
    Case(
        "beat moved on a part",
        POSTGRES | {"move_beat_to": "one"},
        "--limit leaves out two, whose beat could take over as well; run it without --limit.",
        app=("one", "two"),
        beat=("one", "two"),
        limit="one",
        playbook="move_beat.yml",
    ),
    Case(
        "SQLite on two hosts",
        ADDRESSES,
        "The group app has 2 hosts, which can't share a SQLite file; set django_app_database_url to a PostgreSQL",
        app=("one", "two"),
        by="together",
    ),
]


LOCAL: dict[str, Any] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "ansible_become": False,
}
FATAL = re.compile(r"^fatal: \[[a-z]+-([0-9]+)\]: FAILED! => (\{.*?\}$)", re.MULTILINE)
# Each begins where another one ended; the last one ends with the text.
SENTENCE = re.compile(r"\S.*?[.?](?= [A-Za-z]|\Z)", re.DOTALL)
# Of the second case of a run the host two is two-1.
CASE_HOST = re.compile(r"\b(one|two|three|four)\b")
CASE_NUMBER = re.compile(r"\b(one|two|three|four)-[0-9]+")


def write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def preflight(case: Case, folder: Path) -> tuple[int, str]:
    """Run the play for the case; return its exit code and all that it printed."""
    write(case.files, folder)
    app: dict[str, Any] = {"hosts": dict.fromkeys(case.app)}
    worker = app if case.worker is None else {"hosts": dict.fromkeys(case.worker)}
    inventory = {
        "all": {"vars": LOCAL},
        "broker": {"hosts": dict.fromkeys(case.broker)},
        "app": {"children": {"web": app, "worker": worker, "beat": {"hosts": dict.fromkeys(case.beat)}}},
    }
    for name in ("database", "proxy"):
        if hosts := getattr(case, name):
            inventory[name] = {"hosts": dict.fromkeys(hosts)}
    variables = {"ansible_facts": facts()} | case.variables
    options = [f"--limit={case.limit}"] if case.limit else []
    playbook = ROOT / "playbooks" / case.playbook
    hosts_file = in_json(inventory, folder)
    return play(playbook, hosts_file, variables, folder, *options, elsewhere=case.elsewhere, settings=case.settings)


# What all cases of a run have in common; side_by_side says what each has of it.
SIDE_BY_SIDE = {"ansible_facts": "{{ case_facts }}", "__installation_hosts": "{{ case_hosts }}"}


def side_by_side(cases: list[Case], folder: Path) -> Path:
    """Write one inventory, in which each case is an installation of its own; return its file."""
    groups: dict[str, dict[str, None]] = {name: {} for name in ("web", "worker", "beat", "broker", "database", "proxy")}
    hosts = {}
    for number, case in enumerate(cases):
        beside = folder / f"case{number}"
        beside.mkdir()
        write(case.files, beside)
        members = {
            "web": case.app,
            "worker": case.app if case.worker is None else case.worker,
            "beat": case.beat,
            "broker": case.broker,
            "database": case.database,
            "proxy": case.proxy,
        }
        names = list(dict.fromkeys(name for part in members.values() for name in part))
        for group, part in members.items():
            groups[group] |= {f"{name}-{number}": None for name in part}
        variables = {"case_facts": facts(), "case_hosts": names} | {
            "case_facts" if name == "ansible_facts" else name: value for name, value in case.variables.items()
        }
        text = json.dumps(variables).replace("{{ inventory_dir }}", str(beside))
        for name in names:
            hosts[f"{name}-{number}"] = json.loads(CASE_HOST.sub(rf"\1-{number}", text))
    app = {group: {"hosts": groups.pop(group)} for group in ("web", "worker", "beat")}
    inventory = {"all": {"vars": LOCAL, "hosts": hosts}, "app": {"children": app}}
    inventory |= {group: {"hosts": members} for group, members in groups.items()}
    return in_json(inventory, folder)


def in_json(inventory: dict[str, Any], folder: Path) -> Path:
    """Write the inventory; return its file. JSON is YAML."""
    path = folder / "hosts.yml"
    path.write_text(json.dumps(inventory), encoding="utf-8")
    return path


def play(
    playbook: Path,
    inventory: Path,
    variables: dict[str, Any],
    folder: Path,
    *options: str,
    elsewhere: bool = False,
    settings: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run the playbook; return its exit code and all that it printed."""
    (folder / "variables.yml").write_text(json.dumps(variables), encoding="utf-8")
    result = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            f"--inventory={inventory}",
            f"--extra-vars=@{folder / 'variables.yml'}",
            *options,
            playbook,
        ],
        cwd=folder if elsewhere else ROOT,
        env={
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "PYTHONPATH": str(folder),
            "ANSIBLE_PIPELINING": "true",  # a quarter less time
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        }
        | ({} if elsewhere else {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
        | (settings or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return result.returncode, result.stdout


def case_id(case: Case) -> str:
    return case.id


def is_alone(case: Case) -> bool:
    """Say whether a run must have no other case: how it is started, or what no group of it has, is the run's."""
    return case.elsewhere or case.settings != {} or case.broker == ()


# More in a run know more of one another, which takes longer.
HOSTS = 9
GOOD: list[list[Case]] = [[case for case in ACCEPTED if case.limit], []]
for accepted in [case for case in ACCEPTED if not case.limit]:
    if is_alone(accepted):
        GOOD.insert(0, [accepted])
    else:
        if sum(len(case.hosts()) for case in [*GOOD[-1], accepted]) > HOSTS:
            GOOD.append([])
        GOOD[-1].append(accepted)


@pytest.mark.parametrize("cases", GOOD, ids=lambda cases: cases[0].id)
def test_good_input_passes(cases: list[Case], tmp_path: Path) -> None:
    """Each case is an installation, since a run for each takes minutes: of the second one the host two is two-1."""
    if len(cases) == 1:
        code, printed = preflight(cases[0], tmp_path)
    else:
        names = {name: None for case in cases for name in facts() | case.variables.get("ansible_facts", {})}
        known = {name: f"{{{{ case_facts.{name} }}}}" for name in names}
        limit = ",".join(f"{case.limit}-{number}" for number, case in enumerate(cases) if case.limit)
        options = [f"--limit={limit}"] if limit else []
        variables = SIDE_BY_SIDE | {"ansible_facts": known}
        hosts_file = side_by_side(cases, tmp_path)
        code, printed = play(ROOT / "playbooks/preflight.yml", hosts_file, variables, tmp_path, "--forks=2", *options)
    failed = {int(number) for number in re.findall(r"^fatal: \[[a-z]+-([0-9]+)\]", printed, re.MULTILINE)}
    assert [cases[number].id for number in sorted(failed)] == [], printed
    hold_good(code, printed, sum(1 if case.limit else len(case.hosts()) for case in cases))


RANGE = "must be a whole number from 1 to"
# What several rules of a role or a verb refuse at once.
TOGETHER: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "preflight.yml",
        {
            "systemd_units_web_processes": 0,
            "systemd_units_web_threads": 1001,
            "systemd_units_worker_processes": "-1",
            "systemd_units_worker_stop_seconds": 0,
            "systemd_units_tasks_max": 0,
            "systemd_units_web_socket": "/tmp/web.sock",  # noqa: S108  # nothing is written there
            "systemd_units_web_socket_group": "www data",
            "systemd_units_web_health_path": "healthz",
        },
        [
            f"systemd_units_web_processes {RANGE} 1000.",
            f"systemd_units_web_threads {RANGE} 1000.",
            f"systemd_units_worker_processes {RANGE} 1000.",
            f"systemd_units_worker_stop_seconds {RANGE} 86400.",
            f"systemd_units_tasks_max {RANGE} 1000000.",
            "systemd_units_web_socket must be a path in /run, for example /run/shop-web.sock.",
            "systemd_units_web_socket_group must be the name of a group on the host",
            "systemd_units_web_health_path must begin with a slash.",
        ],
    ),
    (
        "preflight.yml",
        {"django_app_releases_kept": 1, "django_app_access_token_seconds": 0, "django_app_hsts_seconds": "-5"},
        [
            "django_app_releases_kept must be 2 or more, so that there is one to go back to.",
            "django_app_access_token_seconds must be 1 or more.",
            "django_app_hsts_seconds must be 0 or more.",
        ],
    ),
    (
        "preflight.yml",
        {"periodic_tasks_proof_seconds": 14},
        ["periodic_tasks_proof_seconds must be 15 or more, or no run would be seen."],
    ),
    ("preflight.yml", {"monitoring_old_backup_hours": 0}, ["monitoring_old_backup_hours must be 1 or more; to make"]),
    (
        "upgrade_debian.yml",
        {
            "debian_upgrade_drain_seconds": 0,
            "ansible_facts": facts() | {"managed_broker": broker_facts() | {"shared": True}},
        },
        [
            "debian_upgrade_drain_seconds must be 1 or more, and debian_upgrade_reboot_seconds 60 or more.",
            "The RabbitMQ of one is somebody else's, whose data the upgrade would set aside;",
            "then say yes: --extra-vars debian_upgrade_confirmed=true (or look first: --check).",
        ],
    ),
    ("uninstall.yml", {"uninstall": "shop"}, ["uninstall must be the app's name, which is tutorial here"]),
    ("uninstall.yml", {"uninstall_group": "beat"}, ["uninstall_group must be broker, database or proxy; without it"]),
    ("uninstall.yml", {}, ["Nothing was removed. --check tells what would be; data would stay"]),
    ("rotate_secrets.yml", {"rotate": "cookie"}, ['rotate names "cookie"; the secrets are ']),
    (
        "rotate_secrets.yml",
        {"rotate": "secret_key", "django_app_secret_key": MARK * 6},
        ["secret_key can't be drawn, because django_app_secret_key doesn't come from credentials/"],
    ),
]


@pytest.mark.parametrize(("playbook", "variables", "sentences"), TOGETHER)
def test_every_rule_has_its_sentence(
    playbook: str, variables: dict[str, Any], sentences: list[str], tmp_path: Path
) -> None:
    code, printed = preflight(Case("", variables, playbook=playbook), tmp_path)
    assert code != 0, printed
    for sentence in sentences:
        assert sentence in printed
    for noise in ("Traceback", "undefined", "<class", "[WARNING]", MARK):
        assert noise not in printed
    assert set(re.findall(r"changed=(\d+)", printed)) == {"0"}


NO_GROUP = "all: {hosts: {one: }}"
NO_APP = "broker: {hosts: {one: }}"


@pytest.mark.parametrize(
    ("inventory", "playbook", "limit", "sentence"),
    [
        (NO_GROUP, "site.yml", "", "no host in the group app or broker or database or proxy; name one"),
        ("app: {hosts: }\nothers: {hosts: {one: }}", "site.yml", "", "no host in the group app or"),
        (NO_GROUP, "playbooks/status.yml", "", "no host in the group app or"),
        (NO_GROUP, "playbooks/uninstall.yml", "", "no host in the group app or"),
        (NO_APP, "playbooks/backup.yml", "", "The inventory has no host in the group app; name one"),
        (NO_APP, "playbooks/restore.yml", "", "The inventory has no host in the group app; name one"),
        (NO_APP, "playbooks/switch_over.yml", "", "The inventory has no host in the group database; name one"),
        (NO_APP, "playbooks/rollback.yml", "", "The inventory has no host in the group app; name one"),
        ("", "playbooks/status.yml", "", "no host in the group app or"),
        (f"{NO_APP}\nothers: {{hosts: {{two: }}}}", "site.yml", "two", "None of one is in this run; change --limit."),
    ],
)
def test_a_run_without_hosts_is_no_success(
    inventory: str, playbook: str, limit: str, sentence: str, tmp_path: Path
) -> None:
    hosts_file = tmp_path / "hosts.yml"
    hosts_file.write_text(inventory, encoding="utf-8")
    options = [f"--limit={limit}"] if limit else []
    code, printed = play(ROOT / playbook, hosts_file, {}, tmp_path, *options)
    assert code != 0
    assert sentence in printed


@pytest.mark.parametrize("example", ["cluster", "ha"])
def test_the_inventories_to_copy_are_taken(example: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventory" / example, tmp_path / "inventory")
    addresses = [f"10.0.0.{number}" for number in range(10, 23)]
    variables = LOCAL | {"ansible_facts": facts(version="13") | {"all_ipv4_addresses": addresses}}
    hosts_file = tmp_path / "inventory/hosts.yml"
    code, printed = play(ROOT / "playbooks/preflight.yml", hosts_file, variables, tmp_path)
    assert code == 0, printed
    assert "[WARNING]" not in printed


def test_no_argument_of_a_module_reaches_a_journal(tmp_path: Path) -> None:
    """Some are secrets; the operator's own ansible.cfg, or none, counts in another folder than the project's."""
    code, printed = preflight(Case("", {}, elsewhere=True, files=JOURNAL), tmp_path)
    hold_good(code, printed, 1)
    assert not (tmp_path / "journal.txt").exists()
    plays = [play for path in ROOT.glob("playbooks/*.yml") for play in read_yaml(path) if "hosts" in play]
    for play in plays:
        own = play.get("vars", {}).get("ansible_no_target_syslog")
        quiet = own or "vars/installation.yml" in play.get("vars_files", [])
        # Without modules that run on a host.
        assert quiet or play["hosts"] == "all:localhost", play["name"]


def test_generated_passwords_are_private_and_not_shown(tmp_path: Path) -> None:
    code, printed = preflight(Case("defaults", {}), tmp_path)
    hold_good(code, printed, 1)
    made = sorted((tmp_path / "credentials").iterdir())
    assert {"admin_password.txt", "django_secret_key.txt", "rabbitmq_password.txt"} <= {path.name for path in made}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert [path.name for path in made if path.read_text(encoding="utf-8").strip() in printed] == []


def step_of(case: Case) -> str:
    """Return the role whose preflight refuses the case, or `together`, or nothing if it takes the whole play."""
    if case.by:
        return case.by.removesuffix("play")
    plain = Case(case.id, case.variables, case.sentence, files=case.files) == case
    roles = {ROLE_BY_VARIABLE.get(name, "") for name in case.variables}
    return roles.pop() if plain and len(roles) == 1 else ""


OPTIONS: dict[str, dict[str, Any]] = {
    role.name: {name: option for entry in entry_points(role).values() for name, option in entry["options"].items()}
    for role in ROLES
}
ROLE_BY_VARIABLE = {variable: role for role, options in OPTIONS.items() for variable in options}
TYPE_PROBLEMS = load_plugin("roles/common/filter_plugins/argument_specs.py").type_problems


def is_checked_first(case: Case) -> bool:
    """Say whether a name or a type is what's wrong, which is told before any rule is."""
    options = OPTIONS[step_of(case)]
    known = {name: value for name, value in case.variables.items() if name in options}
    strange = [name for name in case.variables if name not in options and name.startswith(f"{step_of(case)}_")]
    return strange != [] or TYPE_PROBLEMS(options, known) != []


def is_of_variables(case: Case) -> bool:
    plain = Case(case.id, case.variables, case.sentence, files=case.files, by=case.by)
    return plain == case and "ansible_facts" not in case.variables and step_of(case) in OPTIONS


def fit(one: Case, other: Case) -> bool:
    """Say whether one installation can have what both have, and be refused for both."""
    alike = is_of_variables(one) and is_of_variables(other) and is_checked_first(one) == is_checked_first(other)
    return alike and not {*one.variables} & {*other.variables} and not (one.files and other.files)


def in_installations(cases: list[Case]) -> list[list[Case]]:
    """Put cases together of which one installation is refused in as many sentences: a refusal takes seconds."""
    installations: list[list[Case]] = []
    for case in cases:
        fitting = (others for others in installations if all(fit(case, other) for other in others))
        found = next(fitting, None)
        if found is None:
            installations.append([case])
        else:
            found.append(case)
    return installations


def as_one(cases: list[Case]) -> Case:
    if len(cases) == 1:
        return cases[0]
    variables = {name: value for case in cases for name, value in case.variables.items()}
    return Case("", variables, files={name: text for case in cases for name, text in case.files.items()})


# More in a run know more of one another, which takes longer.
INSTALLATIONS = 12
ROWS = [
    (step, installations[start : start + INSTALLATIONS])
    for step in sorted({step_of(case) for case in REFUSED} - {""})
    for installations in [in_installations([case for case in REFUSED if step_of(case) == step])]
    for start in range(0, len(installations), INSTALLATIONS)
]


@pytest.mark.parametrize(("step", "rows"), ROWS, ids=lambda value: value if isinstance(value, str) else value[0][0].id)
def test_bad_input_is_refused_by_its_step_in_one_sentence(step: str, rows: list[list[Case]], tmp_path: Path) -> None:
    """All are in one run of the step, because a run for each takes minutes."""
    hosts_file = side_by_side([as_one(cases) for cases in rows], tmp_path)
    variables = SIDE_BY_SIDE | {"step": step}
    code, printed = play(ROOT / "tests/preflight_step.yml", hosts_file, variables, tmp_path, "--forks=2")
    assert code != 0, printed
    said: dict[int, set[str]] = {number: set() for number in range(len(rows))}
    for number, text in FATAL.findall(printed):
        said[int(number)].add(CASE_NUMBER.sub(r"\1", json.loads(text)["msg"]))
    refusals = {
        number: [refusal for text in texts for refusal in SENTENCE.findall(text)] for number, texts in said.items()
    }
    wrong = [
        (case.id, case.sentence, refusals[number])
        for number, cases in enumerate(rows)
        for case in cases
        if len(refusals[number]) != len(cases) or sum(case.sentence in refusal for refusal in refusals[number]) != 1
    ]
    assert wrong == [], printed
    assert [text for texts in said.values() for text in texts if not re.search(r"[.?]$", text)] == []
    hold_nothing_else(printed)


@pytest.mark.parametrize("case", [case for case in REFUSED if step_of(case) == ""], ids=case_id)
def test_bad_input_is_refused_in_one_sentence(case: Case, tmp_path: Path) -> None:
    code, printed = preflight(case, tmp_path)
    assert code != 0, printed
    refusals = re.findall(r"^\[ERROR\]: Task failed: Action failed: (.*)", printed, re.MULTILINE)
    assert len(refusals) == printed.count("[ERROR]") == 1, printed
    assert case.sentence in refusals[0]
    hold_one_sentence(refusals[0])
    hold_nothing_else(printed)


def hold_good(code: int, printed: str, hosts: int) -> None:
    assert code == 0, printed
    assert "[WARNING]" not in printed
    assert MARK not in printed
    assert AWKWARD not in printed
    assert re.findall(r"changed=(\d+)", printed) == ["0"] * hosts


def hold_one_sentence(refusal: str) -> None:
    assert re.search(r"[.?]$", refusal)
    assert not re.search(r"[.?] [A-Z]", refusal), "one sentence is enough"


def hold_nothing_else(printed: str) -> None:
    for noise in ("Traceback", "undefined", "<class", "[WARNING]", MARK):
        assert noise not in printed
    assert set(re.findall(r"changed=(\d+)", printed)) == {"0"}
