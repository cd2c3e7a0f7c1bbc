"""What the roles know of proxies: certificates that are given, addresses by the inventory, a web process's socket."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from project import ROOT, load_plugin

certificate_problems = load_plugin("roles/web_proxy/filter_plugins/certificates.py").certificate_problems
fleet = load_plugin("roles/common/filter_plugins/fleet.py")
host_facts = load_plugin("roles/common/library/host_facts.py")
NOW = datetime.now(UTC)


class Pair:
    """A certificate with its key, by an issuer or itself."""

    def __init__(self, name: str, *names: str, issuer: "Pair | None" = None, days: int = 90) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer.name if issuer else self.name, self.name, self.private.public_key(), 1)
        builder = builder.not_valid_before(NOW - timedelta(days=100)).not_valid_after(NOW + timedelta(days=days))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=False)
        self.certificate = builder.sign((issuer or self).private, SHA256())
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()
        self.key = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


AUTHORITY = Pair("authority")
BETWEEN = Pair("between", issuer=AUTHORITY)
GOOD = Pair("a.org", "a.org", "*.b.org", issuer=BETWEEN)
OLD = Pair("a.org", "a.org", days=-1)


@pytest.mark.parametrize(
    ("certificate", "key", "names", "said"),
    [
        (GOOD.pem + BETWEEN.pem, GOOD.key, ["a.org", "x.b.org"], []),
        (GOOD.pem + BETWEEN.pem + AUTHORITY.pem, GOOD.key, ["a.org"], []),
        (GOOD.pem, GOOD.key, ["a.org"], []),
        (GOOD.pem, GOOD.key, ["a.org", "b.org", "x.y.b.org"], ["isn't for b.org, x.y.b.org; get one for all of"]),
        (GOOD.pem, OLD.key, ["a.org"], ["web_proxy_key_file is not the key of web_proxy_certificate_file"]),
        (BETWEEN.pem + GOOD.pem, GOOD.key, ["a.org"], ["is not the key", "out of order", "isn't for a.org"]),
        (OLD.pem, OLD.key, ["a.org"], [f"expired on {NOW - timedelta(days=1):%Y-%m-%d}; renew it"]),
        ("", GOOD.key, ["a.org"], ["must have the certificate and its chain in PEM"]),
        (GOOD.key, GOOD.key, ["a.org"], ["must have the certificate and its chain in PEM"]),
        (GOOD.pem, GOOD.pem, ["a.org"], ["web_proxy_key_file must have the certificate's key in PEM"]),
    ],
)
def test_a_pair_that_browsers_would_refuse_is_refused(
    certificate: str, key: str, names: list[str], said: list[str]
) -> None:
    problems = certificate_problems(certificate, key, names)
    assert len(problems) == len(said)
    assert all(part in problem for part, problem in zip(said, problems, strict=True))
    assert all("PRIVATE" not in problem for problem in problems)


HOSTS: dict[str, dict[str, Any]] = {
    "one": {"ansible_host": "192.0.2.1", "systemd_units_web_port": "8080"},
    "two": {"ansible_host": "198.51.100.2", "systemd_units_web_address": "192.0.2.2", "web_proxy_address": "10.0.0.2"},
    "192.0.2.3": {},
}


def test_hosts_find_one_another_by_the_inventory() -> None:
    assert fleet.host_addresses(HOSTS, HOSTS, "web_proxy_address") == ["192.0.2.1", "10.0.0.2", "192.0.2.3"]
    found = fleet.proxy_upstreams(HOSTS, HOSTS, "two", "/run/shop-web.sock")
    assert found == ["192.0.2.1:8080", "unix:/run/shop-web.sock", "192.0.2.3:8000"]


def test_facts_know_in_front_of_which_app_nginx_stands(tmp_path: Path) -> None:
    (tmp_path / "nginx-managed").mkdir()
    assert host_facts.managed_proxy(tmp_path) == ""
    file = tmp_path / "nginx-managed/nginx.conf"
    template = (ROOT / "roles/web_proxy/templates/nginx.conf.j2").read_text(encoding="utf-8")
    file.write_text(template.replace("{{ django_app_name }}", "shop-7"))
    assert host_facts.managed_proxy(tmp_path) == "shop-7"
    file.write_text("worker_processes auto;\n")
    assert host_facts.managed_proxy(tmp_path) == ""


class Page(BaseHTTPRequestHandler):
    """Answers 200 to those who name the host."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200 if self.headers["Host"] == "shop.example.org" else 400)
        self.end_headers()

    def address_string(self) -> str:
        """Return nothing: a Unix socket's peer has no address."""
        return ""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Serve on a Unix socket."""
    path = str(tmp_path / "socket")
    with socketserver.ThreadingUnixStreamServer(path, Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield {"url": "http://localhost/healthz", "socket": path, "headers": {"Host": "shop.example.org"}}
        server.shutdown()


def test_a_web_process_on_a_unix_socket_is_asked_there(web: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "roles/monitoring/files/status")
    read_web = load_plugin("roles/monitoring/files/status/host.py").read_web
    assert read_web(web)["status"] == 200
    assert read_web(web | {"socket": f"{web['socket']}-gone"})["status"] is None
    question = {"seconds": 1, "entry": "", "interval": 0, "web": web}
    answer = subprocess.run(
        [sys.executable, ROOT / "roles/periodic_tasks/files/prove.py"],
        input=json.dumps(question),
        env={**os.environ, "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout)["seen"] == {"web": "http://localhost/healthz answers 200"}
