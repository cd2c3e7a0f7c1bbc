#!/usr/bin/python
"""Ansible module: read the few facts that the plays use."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import re
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_facts
short_description: Read the few facts that the plays use
description:
  - Names and values are those of M(ansible.builtin.setup), which costs several times as much; what has no such
    name tells of an upgrade of Debian that has not come to its end.
  - Waits up to five minutes for another dpkg at work, whose packages are half-way for a while.
options:
  app:
    description: Name of the app, to see whether somebody else uses what bears it.
    type: str
    default: ""
author: the maintainers of this project
"""

RETURN = r"""
ansible_facts:
  description:
    - C(distribution), C(distribution_major_version), C(service_mgr), C(python), C(all_ipv4_addresses),
      C(memtotal_mb), C(installed_packages) (names).
    - C(unfinished_packages), names of those that dpkg has not finished, and C(apt_suites), the suites that APT's
      sources name.
    - C(listeners), who listens on which TCP port, with C(port), C(address), C(program), C(unit).
    - C(name_servers), addresses of those that the host asks.
    - C(localhost_is_loopback), whether that name means 127.0.0.1.
    - C(app_conflicts), what bears the app's name and was not made by these roles, and C(app_account_is_ours).
    - C(managed_broker), of the RabbitMQ that role rabbitmq configured C(apps) (names of the apps that use it),
      C(shared) (whether it is somebody else's), C(was_here) (whether RabbitMQ was on the host before),
      C(old_files) (what earlier versions wrote in C(/etc/rabbitmq)), C(node) (its name), C(inter_node_tls)
      (whether it talks to other nodes over TLS) and C(nodes) (those that have data, which only root can see).
    - C(managed_proxy), name of the app in front of which role web_proxy has nginx, C(managed_certificates), of the app
      whose certificates C(/etc/letsencrypt) has by that role, C(proxy_paths), which paths of nginx and certbot are
      there, whosever they are, and C(has_ipv6), whether the kernel has IPv6.
    - C(app_database), of the generation that was last seen to work C(kind) (sqlite, postgresql or nothing), C(file)
      (of SQLite, if it is there; only root can read it) and C(hosts) (of PostgreSQL).
    - C(managed_database), of three databases by role postgresql C(app) (whose they are), C(knows) (whether the host has
      data of etcd), C(data) (whether it has the database's) and, whosever they are, C(clusters) (Debian's own of
      PostgreSQL). Only root can see all of it.
    - C(old_broker_data), names of RabbitMQ nodes whose data are too old for RabbitMQ 4 (only root can read them).
  returned: always
  type: dict
"""


# The state of a socket in the kernel's tables.
LISTEN = "0A"
# What dpkg calls a package that it isn't done with.
UNFINISHED = {"half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"}


def read_packages(module: AnsibleModule) -> tuple[list[str], list[str]]:
    """Return the names of the installed packages and of the unfinished ones."""
    _, out, _ = module.run_command(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"])
    states = [line.split() for line in out.splitlines()]
    return (
        [name for state, name in states if state == "installed"],
        [name for state, name in states if state in UNFINISHED],
    )


def dpkg_is_at_work() -> bool:
    """Return whether a process holds dpkg's lock; only root can know."""
    try:
        with open("/var/lib/dpkg/lock", "r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError:
        return False
    except BlockingIOError:
        return True
    return False


def read_suites(folder: Path) -> list[str]:
    """Return the suites that APT's sources name, in both of their formats."""
    suites: set[str] = set()
    for path in [folder / "sources.list", *folder.glob("sources.list.d/*.list")]:
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace")
            suites.update(re.findall(r"(?m)^[ \t]*deb(?:-src)?[ \t]+(?:\[[^]]*\][ \t]+)?\S+[ \t]+(\S+)", lines))
    for path in folder.glob("sources.list.d/*.sources"):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8", errors="replace")):
            if not re.search(r"(?im)^Enabled:[ \t]*(no|false|without|off|disable)\b", stanza):
                for names in re.findall(r"(?im)^Suites:((?:.*)(?:\n[ \t].*)*)", stanza):
                    suites.update(names.split())
    return sorted(suites)


def old_broker_data(folder: Path) -> list[str]:
    """Return the RabbitMQ nodes whose data lack a feature flag of 3.11, without which 4.0 doesn't boot."""
    suffix = "-feature_flags"
    try:
        return [
            path.name.removesuffix(suffix)
            for path in sorted(folder.glob(f"*{suffix}"))
            if "feature_flags_v2" not in path.read_text(encoding="utf-8")
        ]
    except PermissionError:
        return []


def app_database(generation: Path) -> dict[str, Any]:
    """Return the kind of database that a generation uses, and SQLite's file if it is there; only root can read it."""
    try:
        url = (generation / "credentials/DATABASE_URL").read_text(encoding="utf-8").strip()
    except OSError:
        return {"kind": "", "file": "", "hosts": []}
    kind, _, rest = url.partition(":")
    path = unquote(rest.removeprefix("///").partition("?")[0])
    is_file = kind == "sqlite" and os.path.isfile(path)
    if kind == "sqlite":
        return {"kind": "sqlite", "file": path if is_file else "", "hosts": []}
    hosts = rest.removeprefix("//").partition("/")[0].rpartition("@")[2]
    return {"kind": "postgresql", "file": "", "hosts": hosts.split(",")}


def uses_plain_amqp(generation: Path) -> bool:
    """Return whether a generation talks to a broker without TLS; only root can read it."""
    try:
        url = (generation / "credentials/CELERY_BROKER_URL").read_text(encoding="utf-8")
    except OSError:
        return False
    return not url.startswith("amqps:")


DATABASE_MARKS = ("patroni/config.yml", "postgresql-common/createcluster.d/no-main.conf")


def managed_database(app: str, root: Path = Path("/")) -> dict[str, Any]:
    """Return what role postgresql has of three databases on the host, as the documentation says."""
    # The second one is written before the packages are installed.
    lines = [first_line(root / "etc" / path) for path in DATABASE_MARKS]
    found = re.search(r"(?m)^# Written by Ansible \(role postgresql\) for (\S+):", "\n".join(lines))
    # A play that knows nothing of the app doesn't say its name.
    app = found[1] if found else app
    knows = data = False
    with contextlib.suppress(PermissionError):
        # The folder alone is there after an attempt that failed.
        knows = any((root / "var/lib/etcd" / app / "member/wal").glob("*.wal"))
        data = any((root / "var/lib/postgresql").glob(f"*/{app}/PG_VERSION"))
    clusters = [path.parent for path in (root / "etc/postgresql").glob("*/*/postgresql.conf")]
    return {
        "app": found[1] if found else "",
        "knows": knows,
        "data": data,
        "clusters": sorted(f"{path.parent.name}/{path.name}" for path in clusters),
    }


def name_servers(path: Path) -> list[str]:
    """Return the addresses in resolv.conf(5); zones of links are dropped."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return re.findall(r"(?m)^nameserver[ \t]+([0-9a-fA-F.:]+)", text)


def is_loopback(name: str) -> bool:
    """Return whether a name means 127.0.0.1 and nothing else in IPv4."""
    try:
        return {found[4][0] for found in socket.getaddrinfo(name, None, socket.AF_INET)} == {"127.0.0.1"}
    except OSError:
        return False


def managed_broker(etc: Path, data: Path) -> dict[str, Any]:
    """Return what role rabbitmq has on the host, as the documentation says."""
    folder, old = etc / "rabbitmq-managed", etc / "rabbitmq"
    env, settings = text_of(folder / "rabbitmq-env.conf"), text_of(folder / "rabbitmq.conf")
    node = re.search(r"(?m)^NODENAME=(\S+)", env)
    names: list[str] = []
    if first_line(old / "rabbitmq.conf").startswith("# Written by Ansible (role rabbitmq)"):
        names = ["definitions.json", "enabled_plugins", "rabbitmq-env.conf", "rabbitmq.conf"]
    return {
        "apps": sorted(path.stem for path in (folder / "definitions.d").glob("*.json")),
        "shared": (folder / "definitions.d").exists() and not (folder / "rabbitmq.conf").exists(),
        "was_here": (folder / "was-here.json").exists(),
        "old_files": [str(old / name) for name in names if (old / name).exists()],
        # Other hosts come without TLS.
        "plain": bool(re.search(r"(?m)^listeners\.tcp\.\w+ = (?!127\.)", settings)),
        "node": node[1] if node else "",
        "inter_node_tls": "inet_tls" in env,
        "nodes": broker_nodes(data),
    }


def text_of(path: Path) -> str:
    """Return what a file of settings holds, or nothing; a pipe in its place isn't waited for."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def broker_nodes(folder: Path) -> list[str]:
    """Return the names of the nodes that have data."""
    try:
        return sorted(path.name for path in folder.glob("*@*") if path.is_dir() and "-plugins-expand" not in path.name)
    except PermissionError:
        return []


# What the packages of nginx and certbot would take for theirs, and remove whole.
PROXY_PATHS = ("nginx", "letsencrypt", "systemd/system/nginx.service")


def managed_proxy(path: Path) -> str:
    """Return the app for which role web_proxy wrote a file (nginx's, or that beside certbot's), or nothing."""
    found = re.match(r"# Written by Ansible \(role web_proxy\) for (\S+):", first_line(path))
    return found[1] if found else ""


def sockets_of(process: Path) -> set[str]:
    """Return the inodes of a process's sockets; none if it has ended or isn't ours to see."""
    links = set()
    with contextlib.suppress(OSError):
        for path in (process / "fd").iterdir():
            # A descriptor may be closed meanwhile, such as that of this very listing.
            with contextlib.suppress(OSError):
                links.add(os.readlink(path))
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def listeners(proc: Path) -> list[dict[str, Any]]:
    """Return who listens on which TCP port, and its unit; of other users' processes only root can know.

    An address is "" where it is every one, and of IPv6 otherwise left out: no port of ours has one.
    """
    ports: dict[str, dict[str, Any]] = {}
    for table in ("net/tcp", "net/tcp6"):
        for line in (proc / table).read_text(encoding="utf-8").splitlines()[1:] if (proc / table).is_file() else []:
            fields = line.split()
            address, port = fields[1].split(":")
            every = set(address) == {"0"}
            if fields[3] == LISTEN and (every or len(address) == 8):
                # The kernel prints the address as a number of this processor.
                octets = int(address, 16).to_bytes(4, sys.byteorder)
                ports[fields[9]] = {"port": int(port, 16), "address": "" if every else ".".join(map(str, octets))}
    found = []
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        held = [ports.pop(inode) for inode in sockets_of(process) & ports.keys()]
        if held:
            with contextlib.suppress(OSError):
                group = re.findall(r"(?m)^(?:0:|[0-9]+:name=systemd):(.*)$", (process / "cgroup").read_text())
                who = {
                    "program": (process / "comm").read_text().strip(),
                    "unit": "".join(group[-1:]).rpartition("/")[2],
                }
                found += [{**one, **who} for one in held]
        if not ports:
            break
    return found


def first_line(path: Path) -> str:
    """Return the first line of a file that somebody else may have made a pipe or a link of."""
    try:
        with open(
            os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8", errors="replace"
        ) as file:
            return file.readline(1000) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else ""
    except OSError:
        return ""


def read_addresses(table: Path) -> list[str]:
    """Return the IPv4 addresses of the host beside the loopback ones, by the kernel's table of routes."""
    addresses = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", table.read_text(encoding="utf-8"))
    return sorted({address for address in addresses if not address.startswith("127.")})


# What these roles have in the app's folders before the file in /etc/sysusers.d says whose they are.
OWN_ENTRIES = {"credentials", "current", "environment", "former", "generations", "previous", "releases"}


def account_is_ours(app: str) -> bool:
    """Return whether the app's account is as systemd-sysusers makes it from the file of role django_app."""
    try:
        account = pwd.getpwnam(app)
    except KeyError:
        return False
    nologin = account.pw_shell.endswith("/nologin")
    return account.pw_uid < 1000 and nologin and (account.pw_gecos, account.pw_dir) == (app, f"/var/lib/{app}")


def app_conflicts(app: str, installed: list[str], root: Path = Path("/")) -> list[str]:
    """Return what bears the app's name and was not made by role django_app, in words."""
    declared = root / f"etc/sysusers.d/{app}.conf"
    if declared.is_file() and declared.read_text().startswith(f'u {app} - "{app}" /var/lib/{app}'):
        return []
    files = [f"{folder}/sysusers.d/{app}.conf" for folder in ("etc", "usr/lib")]
    found = [f"/{path}" for path in files if (root / path).exists()]
    if not account_is_ours(app):
        found += [f"the user {app}"] if any(account.pw_name == app for account in pwd.getpwall()) else []
        found += [f"the group {app}"] if any(group.gr_name == app for group in grp.getgrall()) else []
    found += [f"the package {app}"] if app in installed else []
    for folder in (
        "etc/systemd/system",
        "run/systemd/system",
        "usr/local/lib/systemd/system",
        "usr/lib/systemd/system",
    ):
        kinds = ("service", "socket", "target", "timer", "path", "slice", "mount")
        # A drop-in for all units that begin with the app's name would reach these.
        for pattern in [f"{app}.{kind}" for kind in kinds] + [f"{app}@.*", f"{app}-*"]:
            found += [f"the unit {path.name}" for path in sorted((root / folder).glob(pattern))[:1]]
        # A drop-in of others for all units that begin with a part of the app's name would reach ours.
        parts = app.split("-")
        for prefix in ["-".join(parts[:number]) + "-" for number in range(1, len(parts))]:
            found += [f"/{folder}/{path.name}" for path in sorted((root / folder).glob(f"{prefix}.*.d"))]
    for folder in ("etc", "opt"):
        path = root / folder / app
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            found.append(f"/{folder}/{app}")
        elif path.is_dir():
            names = [entry.name for entry in path.iterdir()]
            if any(name not in OWN_ENTRIES and not name.startswith(("uv-", ".")) for name in names):
                found.append(f"/{folder}/{app}")
    state = root / "var/lib" / app
    # What an uninstall left belongs to no account any more.
    owners = {account.pw_uid for account in pwd.getpwall() if account.pw_name != app or not account_is_ours(app)}
    if state.is_symlink() or (state.exists() and state.stat().st_uid in owners and not (state / ".migrating").exists()):
        found.append(f"/var/lib/{app}")
    return sorted(set(found))


def memory_mb(path: Path) -> int:
    """Return how much memory the host has, in MiB, by the kernel's /proc/meminfo."""
    found = re.search(r"(?m)^MemTotal:\s+([0-9]+) kB$", path.read_text(encoding="utf-8"))
    return int(found[1]) // 1024 if found else 0


def read_release(path: Path) -> dict[str, str]:
    """Return what os-release(5) says; Python 3.9 of older systems has no function for it."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return dict(re.findall(r"""(?m)^([A-Z_]+)=["']?([^"'\n]*)""", text))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"app": {"type": "str", "default": ""}}, supports_check_mode=True)
    app = module.params["app"]
    release = read_release(Path("/etc/os-release"))
    installed: list[str] = []
    unfinished: list[str] = []
    if module.get_bin_path("dpkg-query"):
        installed, unfinished = read_packages(module)
        deadline = time.monotonic() + 300
        while unfinished and dpkg_is_at_work() and time.monotonic() < deadline:
            time.sleep(2)
            installed, unfinished = read_packages(module)
    module.exit_json(
        changed=False,
        ansible_facts={
            "distribution": {"debian": "Debian"}.get(release.get("ID", ""), release.get("NAME", "an unknown system")),
            "distribution_major_version": release.get("VERSION_ID", "").split(".")[0],
            "service_mgr": Path("/proc/1/comm").read_text(encoding="utf-8").strip(),
            "python": {
                "version": {
                    "major": sys.version_info.major,
                    "minor": sys.version_info.minor,
                    "micro": sys.version_info.micro,
                },
            },
            "memtotal_mb": memory_mb(Path("/proc/meminfo")),
            "user_id": pwd.getpwuid(os.geteuid()).pw_name,
            "localhost_is_loopback": is_loopback("localhost"),
            "listeners": listeners(Path("/proc")),
            "all_ipv4_addresses": read_addresses(Path("/proc/net/fib_trie")),
            "installed_packages": installed,
            "unfinished_packages": unfinished,
            "apt_suites": read_suites(Path("/etc/apt")),
            "app_conflicts": app_conflicts(app, installed) if re.fullmatch("[a-z][a-z0-9-]*", app) else [],
            "app_account_is_ours": account_is_ours(app),
            "app_database": app_database(Path("/etc", app or "unknown", "generations/good")),
            "app_uses_plain_amqp": uses_plain_amqp(Path("/etc", app or "unknown", "generations/good")),
            "managed_database": managed_database(app or "unknown"),
            "managed_broker": managed_broker(Path("/etc"), Path("/var/lib/rabbitmq/mnesia")),
            "managed_proxy": managed_proxy(Path("/etc/nginx-managed/nginx.conf")),
            "managed_certificates": managed_proxy(Path("/etc/letsencrypt/managed-by-ansible")),
            "proxy_paths": [f"/etc/{path}" for path in PROXY_PATHS if os.path.lexists(f"/etc/{path}")],
            "has_ipv6": Path("/proc/net/if_inet6").exists(),
            "name_servers": name_servers(Path("/etc/resolv.conf")),
            "old_broker_data": old_broker_data(Path("/var/lib/rabbitmq/mnesia")),
        },
    )


if __name__ == "__main__":
    main()
