"""What the roles know of proxies: certificates that are given, addresses by the inventory, a web process's socket."""

import json
import os
import re
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
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from project import ROOT, load_plugin

certificate_problems = load_plugin("roles/web_proxy/filter_plugins/certificates.py").certificate_problems
fleet = load_plugin("roles/common/filter_plugins/fleet.py")
host_facts = load_plugin("roles/common/library/host_facts.py")
NOW = datetime.now(UTC)
FATAL = re.compile(r"^fatal: \[row(\d+)\]: FAILED! => (\{.*\})$", re.MULTILINE)


class Pair:
    """A certificate with its key, by an issuer or itself."""

    def __init__(
        self,
        name: str,
        *names: str,
        issuer: "Pair | None" = None,
        since: int = -100,
        days: int = 90,
        key: Any = None,
        digest: Any = None,
    ) -> None:
        self.private = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer.name if issuer else self.name, self.name, self.private.public_key(), 1)
        builder = builder.not_valid_before(NOW + timedelta(days=since)).not_valid_after(NOW + timedelta(days=days))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=False)
        signer = (issuer or self).private
        digest = digest or (None if isinstance(signer, ed25519.Ed25519PrivateKey) else SHA256())
        self.certificate = builder.sign(signer, digest)
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()
        self.key = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


AUTHORITY = Pair("authority")
BETWEEN = Pair("between", issuer=AUTHORITY)
ENDED = Pair("between", issuer=AUTHORITY, days=-2)
GOOD = Pair("a.org", "a.org", "*.b.org", issuer=BETWEEN)
OLD = Pair("a.org", "a.org", days=-1)
LATER = Pair("a.org", "a.org", since=2)
RSA = Pair("a.org", "a.org", key=rsa.generate_private_key(65537, 2048))
SMALL = Pair("a.org", "a.org", key=rsa.generate_private_key(65537, 1024))  # noqa: S505
EDWARDS = Pair("a.org", "a.org", key=ed25519.Ed25519PrivateKey.generate())
LOCKED = GOOD.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a")).decode()
WEAK = "nginx or browsers would refuse the certificate in web_proxy_certificate_file; get one with an RSA key"


@pytest.mark.parametrize(
    ("certificate", "key", "names", "said"),
    [
        (GOOD.pem + BETWEEN.pem, GOOD.key, ["a.org", "x.b.org"], []),
        (GOOD.pem + BETWEEN.pem + AUTHORITY.pem, GOOD.key, ["a.org"], []),
        (GOOD.pem, GOOD.key, ["a.org"], []),
        (RSA.pem, RSA.key, ["a.org"], []),
        ("a comment\n" + GOOD.pem.replace("\n", "\r\n"), GOOD.key, ["a.org"], []),
        (GOOD.pem, GOOD.key, ["a.org", "b.org", "x.y.b.org"], ["isn't for b.org, x.y.b.org; get one for all of"]),
        (AUTHORITY.pem, AUTHORITY.key, ["authority"], ["isn't for authority; get one for all of"]),
        (GOOD.pem, OLD.key, ["a.org"], ["web_proxy_key_file is not the key of web_proxy_certificate_file"]),
        (BETWEEN.pem + GOOD.pem, GOOD.key, ["a.org"], ["is not the key", "out of order", "isn't for a.org"]),
        (OLD.pem, OLD.key, ["a.org"], [f"expired on {NOW - timedelta(days=1):%Y-%m-%d}; renew it"]),
        (
            GOOD.pem + ENDED.pem,
            GOOD.key,
            ["a.org"],
            ["out of order", "An issuer's certificate in web_proxy_certificate"],
        ),
        (LATER.pem, LATER.key, ["a.org"], [f"is valid from {NOW + timedelta(days=2):%Y-%m-%d} on; keep the one from"]),
        (SMALL.pem, SMALL.key, ["a.org"], [WEAK]),
        (EDWARDS.pem, EDWARDS.key, ["a.org"], [WEAK]),
        ("", GOOD.key, ["a.org"], ["must have the certificate and its chain in PEM"]),
        ("\udcff\udcfe", GOOD.key, ["a.org"], ["must have the certificate and its chain in PEM"]),
        (GOOD.key, GOOD.key, ["a.org"], ["must have the certificate and its chain in PEM"]),
        (GOOD.pem, GOOD.pem, ["a.org"], ["web_proxy_key_file must have the certificate's key in PEM"]),
        (
            GOOD.pem,
            LOCKED,
            ["a.org"],
            ["web_proxy_key_file must have the certificate's key in PEM, without a password"],
        ),
        (GOOD.pem, "\udcff\udcfe", ["a.org"], ["web_proxy_key_file must have the certificate's key in PEM"]),
    ],
)
def test_a_pair_that_browsers_would_refuse_is_refused(
    certificate: str, key: str, names: list[str], said: list[str], tmp_path: Path
) -> None:
    files = [tmp_path / "certificate.pem", tmp_path / "key.pem"]
    for file, text in zip(files, (certificate, key), strict=True):
        file.write_bytes(text.encode(errors="surrogateescape"))
    problems = certificate_problems(*map(str, files), names)
    assert len(problems) == len(said), problems
    assert all(part in problem for part, problem in zip(said, problems, strict=True)), problems
    assert all("PRIVATE" not in problem for problem in problems)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "certificate.pem").write_text(GOOD.pem)
    (said,) = certificate_problems(str(tmp_path / "certificate.pem"), str(tmp_path), ["a.org"])
    assert said == "web_proxy_key_file can't be read (Is a directory); make it readable."
    (said,) = certificate_problems(str(tmp_path), str(tmp_path), ["a.org"])
    assert said == "web_proxy_certificate_file can't be read (Is a directory); make it readable."


LABEL = "a" * 63
NAMES = "web_proxy_server_names must list names of hosts in small ASCII letters, each once, without scheme, port"
NO_FILES = "web_proxy_certificate is files, so set web_proxy_certificate_file and web_proxy_key_file to whole paths of"
UNUSED = "web_proxy_certificate_file and web_proxy_key_file are for web_proxy_certificate: files, but it is acme;"
DIRECTORY = "web_proxy_acme_directory must be the address of an authority's directory and begin with https://."
EMAIL = "web_proxy_email must be one address, such as ops@example.org, or empty."
RATE = "Each web_proxy_…_requests_per_minute must be a whole number from 1 to 1000000."
PATHS = "web_proxy_limited_paths must have lists of plain paths, such as /accounts/login/, under login, token, device"
BODY = "web_proxy_body_mebibytes must be a whole number from 1 to 10240."
POLICY = "web_proxy_content_security_policy must be one line of ASCII without quotation marks"
ADDRESS = "set its web_proxy_address to the IPv4 address from which it reaches them."

FILES: dict[str, Any] = {"web_proxy_certificate": "files"}

# What is set beside a name, and what is said of it; nothing where it is good.
INPUT: list[tuple[dict[str, Any], str]] = [
    *(
        ({"web_proxy_server_names": names}, "")
        for names in (
            ["xn--bcher-kva.example"],
            ["1.example.org", "a-b.example.org"],
            [".".join([LABEL, LABEL, LABEL, "b" * 57, "org"])],
        )
    ),
    *(
        ({"web_proxy_server_names": [name]}, NAMES)
        for name in (
            "*.example.org",
            "OAuth.example.org",
            "oauth.example.org.",
            ".example.org",
            "bücher.example",
            "my_host.example.org",
            "192.0.2.7",
            "2001:db8::1",
            "a.org:443",
            "-a.org",
            "a..org",
            "a.org; return 200",
            "$host",
            "",
            f"a{LABEL}.org",
            ".".join([LABEL, LABEL, LABEL, "b" * 58, "org"]),
        )
    ),
    ({"web_proxy_server_names": ["a.org\n"]}, "web_proxy_server_names must be one line each"),
    ({"web_proxy_acme_directory": "https://acme.example.org/dir\n"}, "web_proxy_acme_directory must be one line"),
    ({"web_proxy_content_security_policy": "a\n"}, "web_proxy_content_security_policy must be one line"),
    ({"web_proxy_content_security_policy": "a\rb"}, "web_proxy_content_security_policy must be one line"),
    ({"web_proxy_server_names": ["a.org", "a.org"]}, NAMES),
    ({"web_proxy_server_names": [["a.org"]]}, "web_proxy_server_names must be"),
    ({"web_proxy_server_names": None}, "web_proxy_server_names must be"),
    ({"web_proxy_server_names": ["localhost"]}, "No authority gives a certificate for localhost; set web_proxy_"),
    ({"web_proxy_server_names": ["localhost"], "web_proxy_certificate": "self_signed"}, ""),
    ({"web_proxy_certificate": "letsencrypt"}, "web_proxy_certificate must be one of"),
    ({"web_proxy_certificate": True}, "web_proxy_certificate must be"),
    (FILES, NO_FILES),
    (FILES | {"web_proxy_certificate_file": "README.md", "web_proxy_key_file": "/etc/passwd"}, NO_FILES),
    (FILES | {"web_proxy_certificate_file": "/etc", "web_proxy_key_file": "/etc"}, NO_FILES),
    (FILES | dict.fromkeys(["web_proxy_certificate_file", "web_proxy_key_file"], "/etc/passwd"), "its chain in PEM"),
    ({"web_proxy_certificate_file": "/a.pem"}, UNUSED),
    ({"web_proxy_key_file": "/a.pem"}, UNUSED),
    ({"web_proxy_acme_directory": "https://acme.example.org:14000/dir"}, ""),
    *(
        ({"web_proxy_acme_directory": directory}, DIRECTORY)
        for directory in (
            "",
            "acme.example.org/dir",
            "http://acme.example.org/dir",
            "HTTPS://acme.example.org/dir",
            "https://acme.example.org/ dir",
        )
    ),
    ({"web_proxy_acme_directory": ["https://a.org"]}, "web_proxy_acme_directory must be"),
    ({"web_proxy_email": "Ops+tls@Example.org"}, ""),
    *(
        ({"web_proxy_email": email}, EMAIL)
        for email in (
            "ops",
            "ops@",
            "@example.org",
            "a@b.org,c@d.org",
            "a b@c.org",
            "-m@a.org",
            "a@-b.org",
            "a@b@c.org",
        )
    ),
    ({"web_proxy_email": ["ops@example.org"]}, "web_proxy_email must be"),
    ({"web_proxy_checks_names": "maybe"}, "web_proxy_checks_names must be"),
    ({"web_proxy_checks_names": "no"}, ""),
    *(
        ({f"web_proxy_{kind}requests_per_minute": value}, said)
        for kind, value, said in (
            ("", 0, RATE),
            ("login_", -1, RATE),
            ("token_", 1000001, RATE),
            ("registration_", "0", RATE),
            ("login_", "many", "web_proxy_login_requests_per_minute must be"),
            ("login_", None, "web_proxy_login_requests_per_minute must be"),
            ("login_", "30", ""),
        )
    ),
    *(
        ({"web_proxy_limited_paths": paths}, PATHS)
        for paths in (
            {"logins": ["/login/"]},
            {"login": "/login/"},
            {"login": ["login/"]},
            {"login": ["/login$"]},
            {"login": [None]},
            {"login": None},
            {"login": {"/login/": 1}},
        )
    ),
    ({"web_proxy_limited_paths": ["/login/"]}, "web_proxy_limited_paths must be"),
    ({"web_proxy_limited_paths": {}}, ""),
    *(({"web_proxy_body_mebibytes": size}, BODY) for size in (0, -1, 10241)),
    ({"web_proxy_body_mebibytes": "10m"}, "web_proxy_body_mebibytes must be"),
    ({"web_proxy_content_security_policy": ""}, ""),
    *(({"web_proxy_content_security_policy": policy}, POLICY) for policy in ('x"; y', "a $b", "a\\b", "a;", "a ", "ä")),
    ({"web_proxy_content_security_policy": ["default-src 'self'"]}, "web_proxy_content_security_policy must be"),
    ({"web_proxy_address": "proxy.example.org"}, ""),
    *(
        ({"web_proxy_upstreams": ["192.0.2.1:8000"], "web_proxy_address": address}, ADDRESS)
        for address in ("proxy.example.org", "192.0.2.0/24", "2001:db8::1", "127.0.0.1", "")
    ),
    ({"web_proxy_upstreams": ["192.0.2.1:8000"], "web_proxy_address": ["192.0.2.7"]}, "web_proxy_address must be"),
    ({"web_proxy_upstreams": ["192.0.2.1:8000"], "web_proxy_address": "192.0.2.7"}, ""),
]


def test_bad_input_is_refused_by_one_sentence(tmp_path: Path) -> None:
    """Each row is a host of one run of the role's preflight, because a run for each takes minutes."""
    base = {"web_proxy_server_names": ["a.org"], "web_proxy_upstreams": ["unix:/run/shop-web.sock"]}
    hosts = {f"row{number}": base | row for number, (row, _) in enumerate(INPUT)}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    command: list[str | Path] = [
        Path(sys.executable).with_name("ansible-playbook"),
        f"--inventory={tmp_path / 'hosts.yml'}",
        "--forks=2",
    ]
    printed = subprocess.run(
        [*command, ROOT / "tests/web_proxy_preflight.yml"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(tmp_path)}
        | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout
    said = {int(row): json.loads(text)["msg"] for row, text in FATAL.findall(printed)}
    wrong = [
        (row, said.get(number))
        for number, (row, sentence) in enumerate(INPUT)
        if (sentence not in said.get(number, "")) or bool(sentence) != (number in said)
    ]
    assert wrong == []
    assert [text for text in said.values() if not text.endswith(".") or ". " in text] == []


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
    file = tmp_path / "nginx.conf"
    assert host_facts.managed_proxy(file) == ""
    template = (ROOT / "roles/web_proxy/templates/nginx.conf.j2").read_text(encoding="utf-8")
    file.write_text(template.replace("{{ django_app_name }}", "shop-7"))
    assert host_facts.managed_proxy(file) == "shop-7"
    file.write_text("worker_processes auto;\n")
    assert host_facts.managed_proxy(file) == ""


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
