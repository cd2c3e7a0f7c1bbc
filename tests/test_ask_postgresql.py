"""A PostgreSQL that is on a host already: the role asks it, with stand-ins for Debian's programs alone."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from project import ROOT, load_plugin
from test_bad_input import FATAL, LOCAL, hold_nothing_else, in_json, play

CERTIFICATES = load_plugin("roles/common/lookup_plugins/member_certificates.py")
# Of a cluster as Debian makes it.
NEW = {"listens": "localhost", "source": "default", "file": "", "databases": [], "roles": []}
SHOP = NEW | {"databases": ["shop"], "roles": ["shop"]}
CONFIGURED = {"source": "configuration file", "file": "/etc/postgresql/15/main/postgresql.conf:822"}
NETWORK = {"postgresql_address": "192.0.2.7"}
ADOPT = {"postgresql_adopt": True}
USED = "has a PostgreSQL that others use (it listens on"
# As on a host on which the app of another inventory was deployed before.
SHARED = NETWORK | {"known_by": "managed"}
MANAGED = yaml.safe_load((ROOT / "roles/postgresql/vars/main.yml").read_text(encoding="utf-8"))["__postgresql_managed"]

# What pg_lsclusters and the server say, variables, and what is refused.
ROWS: list[tuple[str, str, dict[str, Any] | None, dict[str, Any], str]] = [
    ("new", "5432", NEW, {}, ""),
    ("new, for other hosts", "5432", NEW, NETWORK, ""),
    ("on the loopback address", "5432", SHOP, {}, ""),
    ("that other hosts would reach", "5432", SHOP, NETWORK, f"{USED} localhost; databases: shop)"),
    ("with a role alone", "5432", NEW | {"roles": ["report"]}, NETWORK, f"{USED} localhost; databases: none)"),
    (
        "on every address",
        "5432",
        SHOP | CONFIGURED | {"listens": "*"},
        {},
        f"{USED} * by {CONFIGURED['file']}; databases: shop)",
    ),
    (
        "configured and empty",
        "5432",
        NEW | CONFIGURED | {"listens": "10.0.0.1, localhost"},
        {},
        f"{USED} 10.0.0.1, localhost",
    ),
    ("on every address, adopted", "5432", SHOP | CONFIGURED | {"listens": "*"}, ADOPT, ""),
    ("on every address, adopted for hosts", "5432", SHOP | CONFIGURED | {"listens": "*"}, ADOPT | NETWORK, ""),
    ("elsewhere, adopted", "5432", SHOP, ADOPT | NETWORK, "lets be as it is doesn't listen on 192.0.2.7"),
    ("stopped", "5432", None, {}, "has a PostgreSQL that doesn't run, so that nobody can say who uses it"),
    ("on another port", "5433", SHOP, {}, "has port 5432: pg_lsclusters shows which there are"),
    ("with our authority", "5432", SHOP, SHARED, ""),
    (
        "with an authority of another inventory",
        "5432",
        SHOP,
        SHARED | {"known_by": "theirs"},
        "has databases of others (shop), whose hosts know it by another authority than this inventory has",
    ),
]


def ask(folder: Path) -> dict[str, str]:
    """Return what was refused, by row."""
    for name, credentials in (("managed", "credentials"), ("theirs", "others")):
        (folder / name).mkdir()
        authority = CERTIFICATES.member(folder / credentials, "192.0.2.7", datetime.now(UTC))["authority"]
        (folder / name / "authority.pem").write_text(authority, encoding="utf-8")
    hosts = {}
    for number, (_, port, says, variables, _) in enumerate(ROWS):
        programs = folder / f"row-{number}"
        programs.mkdir()
        answer = f"echo '{json.dumps(says)}'" if says else "exit 2"
        for name, text in (("pg_lsclusters", f"echo 15 main {port} online"), ("runuser", answer)):
            (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        hosts[programs.name] = variables
    inventory = {"all": {"vars": LOCAL}, "database": {"hosts": hosts}, "app": {"hosts": dict.fromkeys(hosts)}}
    variables = {
        "__installation_hosts": ["{{ inventory_hostname }}"],
        "__postgresql_managed": f"{{{{ known_by is defined or ({MANAGED.strip('{} ')}) }}}}",
        "__postgresql_folder": "{{ inventory_dir }}/{{ known_by | default('none') }}",
    }
    code, printed = play(ROOT / "tests/ask_postgresql.yml", in_json(inventory, folder), variables, folder, "--forks=2")
    assert code != 0, printed
    hold_nothing_else(printed)
    refused = {int(row): json.loads(text)["msg"] for row, text in FATAL.findall(printed)}
    return {row[0]: refused.get(number, "") for number, row in enumerate(ROWS)}


def test_one_that_others_use_stays_as_it_is(tmp_path: Path) -> None:
    said = ask(tmp_path)
    wrong = [
        (id_, said[id_]) for id_, *_, sentence in ROWS if sentence not in said[id_] or bool(said[id_]) != bool(sentence)
    ]
    assert wrong == []
