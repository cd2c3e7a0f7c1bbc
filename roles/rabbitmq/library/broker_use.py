#!/usr/bin/python
"""Ansible module: tell who uses the RabbitMQ that is on the host."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: broker_use
short_description: Tell who uses the RabbitMQ that is on the host
description:
  - Finds what isn't there after Debian's package was installed and nothing else done. Changes nothing.
options:
  app:
    description: Name of the app, whose own definitions are none of others.
    type: str
    required: true
  user:
    description: Name of the user that the app will have.
    type: str
    required: true
  vhost:
    description: Name of the virtual host that the app will have.
    type: str
    required: true
author: the maintainers of this project
"""

EXAMPLES = r"""
- name: Ask who uses the broker
  broker_use: {app: shop, user: shop, vhost: shop}
"""

RETURN = r"""
uses:
  description: What tells that somebody uses it, in words.
  returned: always
  type: list
  elements: str
taken:
  description: The names of other apps of these roles, or C(somebody), who have the same user or virtual host.
  returned: always
  type: list
  elements: str
files:
  description: Files in C(/etc/rabbitmq) that say something.
  returned: always
  type: list
  elements: str
plain_files:
  description: Files there that say nothing, as Debian's package brings one.
  returned: always
  type: list
  elements: str
erlang:
  description: Names of other Erlang nodes on the host, which need the epmd that is there.
  returned: always
  type: list
  elements: str
before:
  description: How the host is, C(units) with their states by name, and C(nodes), the names of the nodes that have data.
  returned: always
  type: dict
"""

CONFIGURATION = Path("/etc/rabbitmq")
MANAGED = Path("/etc/rabbitmq-managed")
DATA = Path("/var/lib/rabbitmq/mnesia")
SYSTEM = Path("/etc/systemd/system")
PROGRAMS = Path("/usr/local/sbin")
UNITS = ("rabbitmq-server.service", "epmd.socket")
WRAPPERS = ("rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins", "rabbitmq-queues")
OURS = "# Written by Ansible (role rabbitmq)"
# rabbitmqctl minds its own only once it is connected.
SECONDS = 30


def says_something(path: Path) -> bool:
    """Return whether a file of the configuration has more than comments and no plugins."""
    if path.is_symlink() or not path.is_file():
        return True
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file.read(1_000_000).splitlines()]
    return any(line and not line.startswith(("#", "%")) and line != "[]." for line in lines)


def foreign_files() -> list[str]:
    """Return the files beside the package's folder by which somebody configured it."""
    dropins = [path for unit in UNITS for path in SYSTEM.glob(f"{unit}.d/*.conf")]
    programs = [path for name in WRAPPERS if (path := PROGRAMS / name).exists()]
    found = [path for path in [*dropins, *programs] if OURS not in path.read_text(encoding="utf-8", errors="replace")]
    # By `systemctl edit --full`, or `systemctl mask`; these roles write no whole unit.
    found += [path for unit in UNITS if os.path.lexists(path := SYSTEM / unit)]
    return [str(path) for path in sorted(found)]


def what_it_serves(run: Any, ours: set[str]) -> tuple[list[str], bool]:
    """Return what the running broker has beside the package's own, and whether a user or virtual host has our name."""
    command = ["timeout", str(SECONDS), "/usr/sbin/rabbitmqctl", "--quiet", f"--timeout={SECONDS}"]
    code, out, _ = run([*command, "export_definitions", "-", "--format=json"])
    if code:
        return ["it doesn't answer"], False
    definitions = json.loads(out[out.index("{") :])
    names = {
        kind: [row["name"] for row in definitions.get(kind, []) if row["name"] not in ("/", "guest")]
        for kind in ("vhosts", "users", "queues", "exchanges", "policies")
    }
    # Shovels and federation, for example.
    names["parameters"] = [f"{row['component']} {row['name']}" for row in definitions.get("parameters", [])]
    found = [f"{kind} {', '.join(sorted(some)[:5])}" for kind, some in names.items() if some]
    found += changed_defaults(run, command, definitions)
    code, out, _ = run([*command, "list_connections", "--no-table-headers", "user", "peer_host"])
    found += ["open connections"] if code or out.strip() else []
    return found, bool(ours & {*names["users"], *names["vhosts"]})


def changed_defaults(run: Any, command: list[str], definitions: dict[str, Any]) -> list[str]:
    """Return what somebody changed of the user guest and the virtual host / of the package."""
    found = []
    if not any(row["name"] == "/" for row in definitions.get("vhosts", [])):
        found.append("no virtual host /")
    guests = [row for row in definitions.get("users", []) if row["name"] == "guest"]
    if not guests:
        found.append("no user guest")
    elif guests[0].get("tags") not in ("administrator", ["administrator"]):
        found.append("other rights of the user guest")
    elif run([*command, "authenticate_user", "guest", "guest"])[0]:
        found.append("another password of the user guest")
    return found


def taken_by(app: str, user: str, vhost: str) -> list[str]:
    """Return the other apps whose definitions have the same user or virtual host."""
    taken = []
    for path in sorted((MANAGED / "definitions.d").glob("*.json")):
        definitions = json.loads(path.read_text(encoding="utf-8"))
        names = {row["name"] for kind in ("users", "vhosts") for row in definitions[kind]}
        if path.stem != app and names & {user, vhost}:
            taken.append(path.stem)
    return taken


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={name: {"type": "str", "required": True} for name in ("app", "user", "vhost")},
        supports_check_mode=True,
    )
    states = {}
    for unit in UNITS:
        _, out, _ = module.run_command(["systemctl", "--value", "--property=UnitFileState,ActiveState", "show", unit])
        states[unit] = out.split()
    nodes = [path.name for path in DATA.glob("*@*") if path.is_dir() and not re.search("-plugins-expand$", path.name)]
    _, names, _ = module.run_command(["epmd", "-names"]) if module.get_bin_path("epmd") else (0, "", "")
    registered = re.findall(r"(?m)^name (\S+) at port", names)
    there = sorted(path for path in CONFIGURATION.rglob("*") if path.is_symlink() or not path.is_dir())
    files = [str(path) for path in there if says_something(path)]
    uses = files + foreign_files()
    app, user, vhost = (module.params[name] for name in ("app", "user", "vhost"))
    taken = taken_by(app, user, vhost)
    if "active" in states["rabbitmq-server.service"]:
        serves, is_taken = what_it_serves(module.run_command, {user, vhost})
        uses += serves
        # In a broker of ours it is what an uninstallation left.
        if (
            is_taken
            and not (MANAGED / f"definitions.d/{app}.json").exists()
            and not (MANAGED / "rabbitmq.conf").exists()
        ):
            taken = taken or ["somebody"]
    elif nodes:
        uses += [f"data of {', '.join(sorted(nodes))}, which doesn't run"]
    module.exit_json(
        changed=False,
        uses=uses,
        files=files,
        plain_files=[str(path) for path in there if str(path) not in files],
        taken=taken,
        erlang=sorted(set(registered) - {name.split("@")[0] for name in nodes}),
        before={"units": states, "nodes": sorted(nodes)},
    )


if __name__ == "__main__":
    main()
