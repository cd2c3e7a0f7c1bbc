#!/usr/bin/env python3
"""Print what the front door costs on a Debian 13 host: requests per second, memory of clients that wait."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import statistics
import time

from run import PROJECT, on_host, run

HOST = "front13"
NAME = "oauth.example.org"
CLIENT = "bench"
SECRET = secrets.token_hex(16)
SECONDS, ROUNDS = 10, 3
# Holds so many connections open, of which each has sent so much, while it prints what nginx takes.
WAITING = f"""
import pathlib, re, resource, socket, ssl, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
def size():
    processes = pathlib.Path("/sys/fs/cgroup/system.slice/nginx.service/cgroup.procs").read_text().split()
    rollups = (pathlib.Path("/proc", process, "smaps_rollup").read_text() for process in processes)
    return sum(int(size) for rollup in rollups for size in re.findall("^Pss: *([0-9]+)", rollup, re.MULTILINE)) / 1024
before = size()
clients = []
for _ in range(1000):
    client = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 10), server_hostname="{NAME}")
    client.sendall(sys.argv[1].encode())
    clients.append(client)
print(f"{{before:.0f}} {{size():.0f}}")
"""


def rate(address: str, token: str, path: str = "/api/hello") -> float:
    """Return requests per second that wrk counts by 16 connections; one that isn't answered 200 ends the benchmark."""
    headers = (f"Host: {NAME}", f"Authorization: Bearer {token}", "X-Forwarded-Proto: https")
    given = " ".join(f"--header {shlex.quote(header)}" for header in headers)
    said = on_host(HOST, f"wrk --threads 1 --connections 16 --duration {SECONDS}s {given} {address}{path}")
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(said)
    found = re.search(r"Requests/sec: *([0-9.]+)", said)
    if not found:
        raise SystemExit(said)
    return float(found[1])


def main() -> None:
    """Make the host, measure, remove it."""
    podman = PROJECT / "molecule/shared/podman"
    playbook = ("ansible-playbook", "--inventory", "molecule/front/inventory/hosts.yml", "--limit", HOST)
    run(*playbook, "molecule/shared/destroy.yml")
    run(*playbook, "molecule/shared/create.yml")
    inspect = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = run(podman, "inspect", "--format", inspect, f"oauth-clear-tokens-{HOST}").strip()
    # On an address, so that the web process can be asked with and without nginx.
    variables = {
        "web_proxy_certificate": "self_signed",
        "web_proxy_requests_per_minute": 1000000,
        "systemd_units_web_address": address,
        "systemd_units_web_proxies": [address],
        "web_proxy_address": address,
    }
    run(*playbook, "site.yml", "--extra-vars", json.dumps(variables))
    on_host(HOST, f"sh -c 'echo 127.0.0.1 {NAME} >>/etc/hosts; apt-get install --yes --no-install-recommends wrk curl'")
    application = ("createapplication", f"--client-id={CLIENT}", f"--client-secret={SECRET}", "confidential")
    on_host(HOST, shlex.join(["tutorial-manage", *application, "client-credentials"]))
    ask = f"curl --silent --insecure --user '{CLIENT}:{SECRET}' --data grant_type=client_credentials https://{NAME}/o/token/"
    token = json.loads(on_host(HOST, ask))["access_token"]

    print(f"\nDebian 13, {time.strftime('%F')}\n")
    print("| /api/hello, requests per second | without nginx | through nginx | ratio |")
    print("| --- | --- | --- | --- |")
    ratios = []
    for number in range(ROUNDS):
        without, through = rate(f"http://{address}:8000", token), rate(f"https://{NAME}", token)
        ratios.append(through / without)
        print(f"| round {number + 1} | {without:.0f} | {through:.0f} | {ratios[-1]:.2f} |", flush=True)
    print(f"| median | | | **{statistics.median(ratios):.2f}** |")

    page = on_host(HOST, f"curl --silent --insecure https://{NAME}/accounts/login/")
    named = re.findall(r'"(/static/[^"]+[.][0-9a-f]{12}[.]css)"', page)[0]
    plainly = re.sub(r"[.][0-9a-f]{12}[.]", ".", named)
    print("\n| static file, requests per second | by its plain name | named by its content |\n| --- | --- | --- |")
    for number in range(ROUNDS):
        rates = [rate(f"https://{NAME}", token, path) for path in (plainly, named)]
        print(f"| round {number + 1} | {rates[0]:.0f} | {rates[1]:.0f} |", flush=True)

    print("\n| nginx, MiB (proportional set size) | before | with 1,000 |\n| --- | --- | --- |")
    for what, sent in (("idle connections", ""), ("half requests", "POST /o/token/ HTTP/1.1\r\nHost: ")):
        before, beside = on_host(HOST, shlex.join(["python3", "-c", WAITING, sent])).split()
        print(f"| {what} | {before} | {beside} |")
        time.sleep(20)
    run(*playbook, "molecule/shared/destroy.yml")


if __name__ == "__main__":
    main()
