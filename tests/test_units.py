"""The units as systemd reads them, without a host: what they may do, and that they always come back."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT

# What one of the two talks to.
ELSEWHERE = {
    "13": "django_app_mail_host=192.0.2.25 django_app_database_url=postgres://shop:a@192.0.2.9/shop "
    "django_app_broker_url=amqps://shop:a@192.0.2.10/shop"
}
OWN = ("tutorial-web.service", "tutorial-worker.service", "tutorial-beat.service")
# What of Debian's own unit decides on exposure.
RABBITMQ = """\
[Unit]
After=network.target epmd.socket
[Service]
Type=notify
NotifyAccess=all
User=rabbitmq
Group=rabbitmq
ExecStart=/usr/sbin/rabbitmq-server
ExecStop=/usr/sbin/rabbitmqctl shutdown
"""
# Likewise.
NGINX = """\
[Unit]
After=network-online.target
[Service]
Type=forking
PIDFile=/run/nginx.pid
ExecStart=/usr/sbin/nginx -g 'daemon on; master_process on;'
"""
CERTBOT = """\
[Service]
Type=oneshot
ExecStart=/usr/bin/certbot -q renew --no-random-sleep-on-renew
"""


@pytest.fixture(scope="module", params=["12", "13"], ids=["Debian 12", "Debian 13"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the units of one Debian, as Ansible renders them."""
    folder = tmp_path_factory.mktemp(f"debian{request.param}")
    (folder / "hosts").write_text("localhost\n")
    subprocess.run(
        [
            *(Path(sys.executable).parent / "ansible-playbook", ROOT / "tests/render_units.yml"),
            *(
                "--inventory",
                folder / "hosts",
                "--extra-vars",
                f"debian={request.param} {ELSEWHERE.get(request.param, '')}",
            ),
        ],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            # The play takes the roles' files without the roles.
            "ANSIBLE_LOOKUP_PLUGINS": str(ROOT / "roles/common/lookup_plugins"),
            "ANSIBLE_FILTER_PLUGINS": ":".join(map(str, ROOT.glob("roles/*/filter_plugins"))),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    (folder / "etc/systemd/system/rabbitmq-server.service").write_text(RABBITMQ)
    (folder / "etc/systemd/system/epmd.socket").write_text("[Socket]\nListenStream=4369\n")
    (folder / "etc/systemd/system/nginx.service").write_text(NGINX)
    (folder / "etc/systemd/system/certbot.service").write_text(CERTBOT)
    return folder


def analyze(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments[:1], f"--root={root}", *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def exposure(root: Path, unit: str) -> float:
    """Return systemd's figure from 0 to 10, less is better."""
    answer = analyze(root, "security", "--offline=true", "--no-pager", unit)
    assert "Overall exposure level" in answer.stdout, answer.stderr
    return float(answer.stdout.rpartition(f"{unit}: ")[2].split()[0])


def settings(root: Path, unit: str) -> dict[str, str]:
    """Return the last value of each setting in a unit and its drop-ins."""
    system = root / "etc/systemd/system"
    files = [system / unit, *sorted((system / f"{unit}.d").glob("*.conf"))]
    pairs = [line.split("=", 1) for file in files for line in file.read_text().splitlines() if "=" in line]
    return {name: value for name, value in pairs if not name.startswith("#")}


@pytest.mark.parametrize("unit", OWN)
def test_own_services_are_hardly_exposed(root: Path, unit: str) -> None:
    assert exposure(root, unit) <= 1.0


def test_the_broker_is_hardly_exposed(root: Path) -> None:
    assert exposure(root, "rabbitmq-server.service") <= 1.4


def test_nginx_is_hardly_exposed_reads_its_own_files_and_comes_back(root: Path) -> None:
    assert exposure(root, "nginx.service") <= 1.5
    found = settings(root, "nginx.service")
    assert found["ExecStart"].endswith("-c /etc/nginx-managed/nginx.conf")
    assert (found["User"], found["Restart"], found["StartLimitIntervalSec"]) == ("nginx-managed", "always", "0")
    assert found["OnFailure"] == "failure-report@%n.service"


def test_a_request_goes_to_another_web_host_soon_but_never_one_that_changes_something(root: Path) -> None:
    text = (root / "etc/nginx-managed/nginx.conf").read_text()
    single, several = "unix:/run/tutorial-web.sock max_fails=0 ", "10.0.0.1:8000 max_fails=2 "
    assert (single in text, "proxy_read_timeout 60s;" in text) in [(True, True), (False, False)]
    assert (several in text, "proxy_read_timeout 20s;" in text) in [(True, True), (False, False)]
    assert (single in text) != (several in text)
    assert "proxy_next_upstream error timeout;" in text
    assert " non_idempotent" not in re.sub("#.*", "", text)


def test_renewals_are_exposed_as_little_as_root_can_be(root: Path) -> None:
    assert exposure(root, "certbot.service") <= 2.0
    assert settings(root, "certbot.service")["OnFailure"] == "failure-report@%n.service"


@pytest.mark.parametrize("unit", ["backup-tutorial.service", "backup-tutorial@check.service"])
def test_the_backup_is_exposed_as_little_as_root_can_be(root: Path, unit: str) -> None:
    """It becomes the users of app and broker, and has none of the drop-in that makes the services what they are."""
    assert exposure(root, unit) <= 2.4
    found = settings(root, unit)
    # restic leaves its lock in the repository at any other signal.
    assert found["KillSignal"] == "SIGINT"
    assert found["OnFailure"] == "failure-report@%n.service"
    assert "User" not in found


def test_the_sandbox_is_what_makes_it(root: Path, tmp_path: Path) -> None:
    """Without the drop-in the figures are those of everybody else."""
    system = tmp_path / "etc/systemd/system"
    system.mkdir(parents=True)
    (system / OWN[0]).write_text((root / "etc/systemd/system" / OWN[0]).read_text())
    assert exposure(tmp_path, OWN[0]) > 9


def test_networks_are_named_as_systemd_run_takes_them(root: Path, request: pytest.FixtureRequest) -> None:
    """Of the word localhost and further networks it takes none; servers elsewhere are added."""
    lines = [line for path in root.rglob("*.conf") for line in path.read_text().splitlines()]
    allowed = {line for line in lines if line.startswith("IPAddressAllow=")}
    elsewhere = " 192.0.2.10 192.0.2.9 192.0.2.25" if "Debian 13" in request.node.name else ""
    assert allowed == {f"IPAddressAllow=127.0.0.0/8 ::1/128{elsewhere}"}


@pytest.mark.parametrize("unit", [*OWN, "rabbitmq-server.service"])
def test_services_say_when_they_work_and_always_come_back(root: Path, unit: str) -> None:
    found = settings(root, unit)
    assert found["Type"] == "notify"
    assert int(found["WatchdogSec"]) <= 30
    assert found["Restart"] == "always"
    assert found["StartLimitIntervalSec"] == "0"
    assert found["OnFailure"] == "failure-report@%n.service"


def test_a_stop_of_worker_and_web_lets_work_end(root: Path) -> None:
    for unit in OWN[:2]:
        found = settings(root, unit)
        assert found["KillMode"] == "mixed"
    assert int(settings(root, OWN[1])["TimeoutStopSec"]) > 330, "longer than a task's hard time limit"


def test_command_lines_are_the_tutorials(root: Path) -> None:
    system = root / "etc/systemd/system"
    assert "ExecStart=celery -A tutorial worker " in (system / OWN[1]).read_text()
    beat = (system / OWN[2]).read_text().replace("\\\n", "")
    assert "ExecStart=celery -A tutorial beat " in beat
    assert "--scheduler django_celery_beat.schedulers:DatabaseScheduler\n" in beat


@pytest.mark.parametrize("unit", OWN)
def test_a_slow_machine_has_time_to_start(root: Path, unit: str) -> None:
    assert int(settings(root, unit)["TimeoutStartSec"]) >= 120


def test_worker_and_beat_note_runs_where_nobody_else_may_look(root: Path) -> None:
    folders = []
    for service in ("worker", "beat"):
        found = settings(root, f"tutorial-{service}.service")
        assert (found["RuntimeDirectoryMode"], found["RuntimeDirectoryPreserve"]) == ("0700", "restart")
        folders.append(found["RuntimeDirectory"])
    assert folders == ["tutorial-worker", "tutorial-beat"]


def test_no_unit_needs_a_path_that_debian_lacks_on_another_architecture(root: Path) -> None:
    """A path that isn't there ends the start of a unit with 226/NAMESPACE; arm64, for one, has no /lib64."""
    everywhere = ("/", "/bin", "/lib", "/sbin", "/usr", "/opt/tutorial", "/etc/tutorial", "/var", "/run", "/proc")
    seen = []
    for file in [path for path in (root / "etc/systemd/system").rglob("*.*") if path.is_file()]:
        settings = re.findall(r"(?m)^(?!Credential|Runtime)([A-Za-z]+Paths|TemporaryFileSystem)=(.*)", file.read_text())
        for path in " ".join(value for _, value in settings).split():
            here = path in everywhere or path.startswith(("/var/", "/etc/tutorial/", "/etc/letsencrypt", "/etc/nginx-"))
            assert path.startswith("-") or here, f"{file.name}: {path}"
        seen += [file.name for name, _ in settings if name == "ExecPaths"]
        # Names of folders by processor, such as /usr/lib/x86_64-linux-gnu.
        assert not re.search("x86_64|amd64|aarch64|arm64", re.sub("(?m)^#.*", "", file.read_text())), file.name
    # The app's, the broker's and nginx's.
    assert len(seen) == 3


def test_a_sockets_address_may_come_late(root: Path) -> None:
    assert settings(root, "tutorial-web.socket")["FreeBind"] == "yes"
    epmd = settings(root, "epmd.socket")
    assert epmd["ListenStream"].startswith("127.0.0.1:") or epmd["FreeBind"] == "yes"


def test_nothing_goes_before_what_the_broker_is_to_read(root: Path) -> None:
    names = re.findall(r"(?m)^([A-Z_]+)=", (root / "etc/rabbitmq-managed/rabbitmq-env.conf").read_text())
    dropin = (root / "etc/systemd/system/rabbitmq-server.service.d/10-hardening.conf").read_text()
    unset = " ".join(re.findall(r"(?m)^UnsetEnvironment=(.*)", dropin)).split()
    assert names
    assert {f"RABBITMQ_{name}" for name in names} <= set(unset)
