#!/usr/bin/env python3
"""Print what provisioning costs, side by side in one run: the playbook against the tutorial typed by hand; then memory.

CPU seconds of the host (its cgroup) and of the controller (this process's children), because the machine may be busy.
"""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import tarfile
import time
from pathlib import Path

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parent.parent
INVENTORY = FOLDER / "inventory" / "hosts.yml"
HOSTS = PROJECT / ".hosts"


def run(*command: str | Path, stdin: bytes = b"") -> str:
    """Run a command in the project's folder; show its output only if it fails."""
    done = subprocess.run(
        command, cwd=PROJECT, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout.decode())
    return done.stdout.decode()


def on_host(host: str, command: str, stdin: bytes = b"") -> str:
    """Run a shell command as root on a test host."""
    return run("ssh", "-F", HOSTS / f"{host}.ssh", host, f"sudo {command}", stdin=stdin)


def host_cpu(host: str) -> float:
    """Return the CPU seconds that the container has used."""
    text = on_host(host, "cat /sys/fs/cgroup/cpu.stat")
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("usage_usec"))) / 1e6


def controller_cpu() -> float:
    """Return the CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(host: str, label: str, *command: str | Path) -> float:
    """Run the command and print its cost; return CPU seconds of host and controller together."""
    host_before, controller_before, begin = host_cpu(host), controller_cpu(), time.monotonic()
    output = run(*command)
    wall, controller = time.monotonic() - begin, controller_cpu() - controller_before
    on = host_cpu(host) - host_before
    recap = next((line for line in output.splitlines() if line.startswith(host)), "")
    changed = recap.split("changed=")[1].split()[0] if recap else "-"
    print(f"| {label} | {on:.1f} | {controller:.1f} | **{on + controller:.1f}** | {wall:.0f} | {changed} |", flush=True)
    return on + controller


def print_memory(host: str) -> None:
    """Print the proportional set size of each service, which counts shared memory once."""
    print("\n| Proportional set size, MiB | together | processes |\n| --- | --- | --- |")
    total = 0.0
    for unit in ("rabbitmq-server", "tutorial-web", "tutorial-worker", "tutorial-beat"):
        group = f"/sys/fs/cgroup/system.slice/{unit}.service/cgroup.procs"
        text = on_host(host, f"sh -c 'for p in $(cat {group}); do grep ^Pss: /proc/$p/smaps_rollup; done'")
        sizes = [int(line.split()[1]) / 1024 for line in text.splitlines()]
        total += sum(sizes)
        print(f"| {unit} | {sum(sizes):.0f} | {', '.join(f'{size:.0f}' for size in sorted(sizes, reverse=True))} |")
    print(f"| **all** | **{total:.0f}** | |")


def main() -> None:
    """Make the hosts, measure, remove them."""
    playbook = ("ansible-playbook", "--inventory", str(INVENTORY))
    run(*playbook, "molecule/shared/destroy.yml")
    run(*playbook, "molecule/shared/create.yml")
    source = HOSTS / "app.tar"
    with tarfile.open(source, "w") as tar:
        for name in ("manage.py", "requirements.txt", "tutorial"):
            tar.add(PROJECT / "app" / name, f"app/{name}", filter=lambda m: None if "__pycache__" in m.name else m)
    on_host("bench-by-hand", "tar --extract --directory /srv", stdin=source.read_bytes())
    script = (FOLDER / "by_hand.sh").read_text()
    remote = ("ssh", "-F", str(HOSTS / "bench-by-hand.ssh"), "bench-by-hand")
    # pip trusts what the host trusts.
    by_hand_command = f"sudo env PIP_CERT=/etc/ssl/certs/ca-certificates.crt sh -c {shlex.quote(script)}"

    print(f"Debian {os.environ.get('BENCH_DEBIAN', '12')}, {time.strftime('%F')}, load {os.getloadavg()[0]:.1f}\n")
    print("| CPU seconds | host | controller | together | wall s | changed |\n| --- | --- | --- | --- | --- | --- |")
    by_hand = measured("bench-by-hand", "by hand, pip", *remote, by_hand_command)
    first = measured("bench-playbook", "playbook, first run", *playbook, "site.yml")
    second = measured("bench-playbook", "playbook, second run", *playbook, "site.yml")
    check = measured("bench-playbook", "playbook, --check", *playbook, "site.yml", "--check")
    print(
        f"\nFirst run: {first / by_hand:.2f} x by hand, second {second / by_hand:.2f} x, check {check / by_hand:.2f} x."
    )
    boots = on_host(
        "bench-playbook", "journalctl --quiet --unit=rabbitmq-server --grep='Starting rabbitmq-server' --output=cat"
    ).count("Starting")
    print(f"Broker boots: {boots}.")
    print_memory("bench-playbook")
    run(*playbook, "molecule/shared/destroy.yml")


if __name__ == "__main__":
    main()
