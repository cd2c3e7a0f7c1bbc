"""Jinja filters that tell which hosts are one installation, and proxies and web hosts of one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Hostvars = Mapping[str, Mapping[str, Any]]


def of_installation(hosts: Iterable[str], name: str, hostvars: Hostvars) -> list[str]:
    """Return the hosts, in their order, whose variable `installation` has this value; none counts as the empty one."""
    return [host for host in hosts if (hostvars[host].get("installation") or "") == name]


def host_addresses(hosts: Iterable[str], hostvars: Hostvars, variable: str) -> list[str]:
    """Return what each host has in the variable; without it, what Ansible reaches it by."""
    return [str(hostvars[host].get(variable) or hostvars[host].get("ansible_host") or host) for host in hosts]


def _told(hosts: Iterable[str], addresses: Iterable[str], hostvars: Hostvars, fact: str) -> Iterator[tuple[str, Any]]:
    """Yield each address with what its host told; a host that wasn't asked counts as one that has everything."""
    for host, address in zip(hosts, addresses, strict=True):
        said = (hostvars[host].get("ansible_facts") or {}).get(fact)
        if said is not None:
            yield address, said


def new_members(hosts: Iterable[str], addresses: Iterable[str], hostvars: Hostvars) -> list[str]:
    """Return the addresses of the brokers whose hosts have no data of their node, or of another cluster alone."""
    found = []
    for address, broker in _told(hosts, addresses, hostvars, "managed_broker"):
        node = f"rabbit@{address}"
        if node not in broker.get("nodes", []) or broker.get("node") not in ("", None, node):
            found.append(address)
    return found


def new_databases(hosts: Iterable[str], addresses: Iterable[str], hostvars: Hostvars, what: str) -> list[str]:
    """Return the addresses of the databases whose hosts lack `knows` or `data`."""
    databases = _told(hosts, addresses, hostvars, "managed_database")
    return [address for address, database in databases if not database[what]]


def plain_clients(hosts: Iterable[str], hostvars: Hostvars) -> list[str]:
    """Return the hosts whose app may talk to the broker without TLS: as deployed before this run, or not asked."""
    found = []
    for host in hosts:
        facts = hostvars[host].get("ansible_facts") or {}
        if "django_app_generation" not in hostvars[host] and facts.get("app_uses_plain_amqp", True):
            found.append(host)
    return found


def begin_near(addresses: Sequence[str], brokers: Sequence[str], hosts: Sequence[str], here: str) -> list[str]:
    """Return the addresses of brokers or databases in the order in which the host `here` tries them: its own first.

    Others begin at another one each, so that they don't all come to the same.
    """
    start = brokers.index(here) if here in brokers else hosts.index(here) if here in hosts else 0
    start %= max(len(addresses), 1)
    return [*addresses[start:], *addresses[:start]]


def proxy_upstreams(hosts: Iterable[str], hostvars: Hostvars, here: str, socket: str) -> list[str]:
    """Return where the web process of each host listens, in nginx's words; on the host `here` it is the Unix socket."""
    found = []
    for host in hosts:
        (address,) = host_addresses([host], hostvars, "systemd_units_web_address")
        port = hostvars[host].get("systemd_units_web_port", 8000)
        found.append(f"unix:{socket}" if host == here else f"{address}:{port}")
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "begin_near": begin_near,
            "host_addresses": host_addresses,
            "new_databases": new_databases,
            "new_members": new_members,
            "of_installation": of_installation,
            "plain_clients": plain_clients,
            "proxy_upstreams": proxy_upstreams,
        }
