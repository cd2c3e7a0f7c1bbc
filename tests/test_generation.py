"""Generations on a host, in a folder that stands for it; systemd alone is a stand-in."""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project import load_plugin

generation = load_plugin("roles/django_app/library/generation.py")
units = load_plugin("roles/common/library/managed_units.py")
KEY = "credentials/DJANGO_SECRET_KEY"
KEPT_KEY = "credentials/DJANGO_SECRET_KEY_FALLBACKS"
ME = {"name": "ann@desk", "controller": "desk", "process": "1:2", "alive": ["1:2"]}
WEB = "[Service]\nExecStart=gunicorn --threads {}\nEnvironment=RUNS_WITH=\n"
WORKER = "[Service]\nExecStart=celery worker\nEnvironment=RUNS_WITH=\n"


class Shop:
    """A host with the app shop."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        for folder in ("etc/systemd/system", "opt/shop/releases", "run", "etc/shop/generations", "proc"):
            (root / folder).mkdir(parents=True)
        self.host = generation.Host("shop", root)
        self.called: list[tuple[str, ...]] = []

        def systemctl(_: Any, *arguments: str) -> str:
            self.called.append(arguments)
            return ""

        monkeypatch.setattr(generation.Host, "systemctl", systemctl)
        monkeypatch.setattr(generation.Host, "is_loaded", lambda *_: True)

    def want(self, release: str = "one", key: str = "key", url: str = "", threads: int = 1, broker: str = "") -> None:
        """Write what roles write."""
        complete = self.root / "opt/shop/releases" / release / ".complete"
        complete.parent.mkdir(exist_ok=True)
        complete.touch()
        files = {
            "environment": "DEBUG=no\n",
            "sandbox.conf": "User=shop\n",
            KEY: key,
            "credentials/DATABASE_URL": url or "postgres://shop:first@127.0.0.1/shop",
            "units/shop-web.service": WEB.format(threads),
            "units/shop-worker.service": WORKER,
            "library/supervised/__init__.py": "",
        } | ({"credentials/CELERY_BROKER_URL": broker} if broker else {})
        for name, text in files.items():
            path = self.host.wanted / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        generation.link(self.host.wanted / "release", f"/opt/shop/releases/{release}")

    def made(self, **wanted: Any) -> str:
        """Return the generation of what is wanted."""
        self.want(**wanted)
        name: str = self.host.present()[0]
        return name

    def deployed(self, **wanted: Any) -> str:
        """Return the generation that is active and was seen to work."""
        name = self.made(**wanted)
        self.host.activate(name)
        self.host.succeed(name, 3)
        return name

    def look(self) -> tuple[str, str, str]:
        """Return what is active, good, and current for people."""
        return str(self.host.active()), str(self.host.good()), os.path.basename(os.readlink(self.host.etc / "current"))

    def text(self, name: str, path: str) -> str:
        """Return what is in a file of a generation."""
        return Path(self.host.folder / name / path).read_text()

    def runs_with(self, unit: str) -> str:
        """Return what systemd would start the unit with."""
        lines = (self.root / "etc/systemd/system" / unit).read_text().splitlines()
        return next(line for line in lines if line.startswith("Environment=RUNS_WITH="))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def test_the_same_content_is_the_same_generation_and_changes_nothing(shop: Shop) -> None:
    first = shop.deployed()
    assert shop.look() == (first,) * 3
    assert shop.made() == first
    assert not shop.host.activate(first)
    assert not shop.host.succeed(first, 3)


def test_units_name_the_folder_of_the_generation_and_secrets_are_roots(shop: Shop) -> None:
    first = shop.deployed()
    dropin = (shop.root / "etc/systemd/system/shop-.service.d/10-generation.conf").read_text()
    assert f"EnvironmentFile=/etc/shop/generations/{first}/environment" in dropin
    assert f"LoadCredential=DATABASE_URL:/etc/shop/generations/{first}/credentials/DATABASE_URL" in dropin
    assert "WorkingDirectory=/opt/shop/releases/one\n" in dropin
    assert "current" not in dropin
    modes = {path.name: path.stat().st_mode & 0o777 for path in (shop.host.folder / first / "credentials").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (shop.host.folder / "key").stat().st_mode & 0o777 == 0o600


def test_folders_of_the_project_come_after_what_the_units_need(shop: Shop) -> None:
    shop.want()
    (shop.host.wanted / "python_path").write_text("src\n/usr/share/shop\n")
    name = shop.host.present()[0]
    dropin = shop.text(name, "10-generation.conf")
    folders = f"/etc/shop/generations/{name}/library:/opt/shop/releases/one/src:/usr/share/shop"
    assert f"Environment=PYTHONPATH={folders}\n" in dropin
    (shop.host.wanted / "python_path").unlink()
    assert name != shop.made()


def test_a_project_below_the_root_runs_there(shop: Shop) -> None:
    shop.want()
    (shop.host.wanted / "project_folder").write_text("backend\n")
    name = shop.host.present()[0]
    assert "WorkingDirectory=/opt/shop/releases/one/backend\n" in shop.text(name, "10-generation.conf")
    (shop.host.wanted / "project_folder").unlink()
    assert name != shop.made()


def test_a_worker_that_is_no_longer_listed_is_stopped_and_goes(shop: Shop) -> None:
    shop.want()
    (shop.host.wanted / "units/shop-mail.service").write_text(WORKER)
    shop.host.activate(shop.host.present()[0])
    assert (shop.root / "etc/systemd/system/shop-mail.service").exists()
    (shop.host.wanted / "units/shop-mail.service").unlink()
    second = shop.made()
    assert shop.host.activate(second)
    assert ("--now", "disable", "shop-mail.service") in shop.called
    assert not (shop.root / "etc/systemd/system/shop-mail.service").exists()
    assert not shop.host.activate(second)


def test_the_id_tells_nothing_without_the_key_of_the_host(shop: Shop, tmp_path: Path) -> None:
    first = shop.made()
    (shop.host.folder / "key").unlink()
    assert shop.made() != first


def test_a_change_for_the_web_alone_is_one_for_no_other_service(shop: Shop) -> None:
    shop.deployed()
    web, worker = shop.runs_with("shop-web.service"), shop.runs_with("shop-worker.service")
    shop.deployed(threads=2)
    assert shop.runs_with("shop-web.service") != web
    assert shop.runs_with("shop-worker.service") == worker
    shop.deployed(threads=2, key="another")
    assert shop.runs_with("shop-worker.service") != worker


def test_what_fails_is_bad_and_the_last_good_one_comes_back_whole(shop: Shop) -> None:
    first = shop.deployed()
    before = shop.runs_with("shop-web.service")
    second = shop.made(release="two", threads=2)
    shop.host.activate(second)
    assert shop.look() == (second, first, second)
    shop.host.fail(second)
    assert shop.look() == (first,) * 3
    assert shop.runs_with("shop-web.service") == before
    assert os.readlink(shop.host.opt / "current") == "releases/one"
    assert shop.host.record(second)["state"] == "bad"
    # Deployed again, it is tried again.
    shop.host.activate(shop.made(release="two", threads=2))
    assert shop.host.record(second)["state"] == "unproven"


def test_a_first_one_that_fails_leaves_nothing_that_could_be_started(shop: Shop) -> None:
    first = shop.made()
    shop.host.activate(first)
    assert shop.host.fail(first)
    left = [str(path.relative_to(shop.root)) for path in shop.root.glob("etc/systemd/system/**/*") if path.is_file()]
    assert left == []
    assert not (shop.host.etc / "current").is_symlink()
    assert (shop.host.active(), shop.host.good()) == ("", "")


def test_what_a_killed_run_activated_is_never_good_and_makes_no_backup(shop: Shop) -> None:
    first = shop.deployed()
    killed = shop.made(release="two")
    shop.host.activate(killed)
    shop.host.begin(ME)
    assert shop.look() == (killed, first, first)
    third = shop.made(release="three")
    shop.host.activate(third)
    shop.host.fail(third)
    assert shop.look() == (first,) * 3
    assert [shop.host.record(name)["state"] for name in (killed, third)] == ["unproven", "bad"]


def test_the_key_before_is_a_fallback_until_the_next_change_and_then_nowhere(shop: Shop) -> None:
    shop.deployed(key="first key")
    second = shop.deployed(key="second key")
    assert shop.text(second, KEPT_KEY) == "first key"
    assert shop.made(key="second key") == second
    third = shop.deployed(key="third key")
    assert shop.text(third, KEPT_KEY) == "second key"
    everywhere = [path.read_text() for path in shop.root.rglob("*") if path.is_file() and path.name != "key"]
    assert not [text for text in everywhere if "first key" in text]
    assert shop.host.all() == [third]


def test_old_releases_go_and_the_previous_one_stays(shop: Shop) -> None:
    for release in ("one", "two", "three", "four"):
        shop.deployed(release=release)
    assert shop.host.releases() == ["two", "three", "four"]
    assert shop.host.describe(shop.host.good())["previous"] == "three"
    shop.deployed(release="two")
    assert os.readlink(shop.host.opt / "previous") == "releases/four"
    assert shop.host.releases() == ["three", "four", "two"]


def test_a_release_keeps_the_names_of_its_modules(shop: Shop) -> None:
    shop.host.succeed(shop.deployed(release="one"), 3, {"django_app_settings_module": "shop.settings"})
    name = shop.deployed(release="two")
    assert shop.host.succeed(name, 3, {"django_app_settings_module": "shop.config"})
    assert not shop.host.succeed(name, 3, {"django_app_settings_module": "shop.config"})
    found = {release: layout["django_app_settings_module"] for release, layout in shop.host.layouts().items()}
    assert found == {"one": "shop.settings", "two": "shop.config"}


def test_a_generation_stays_while_a_process_may_read_from_it(shop: Shop) -> None:
    first = shop.deployed()
    process = shop.root / "proc/17/environ"
    process.parent.mkdir()
    process.write_bytes(f"A=b\0PYTHONPATH=/etc/shop/generations/{first}/library\0".encode())
    second = shop.deployed(key="another")
    assert shop.host.all() == [first, second]


def test_a_broker_password_that_lasts_is_in_what_comes_back(shop: Shop) -> None:
    shop.want(broker="amqp://shop:old@127.0.0.1/shop")
    first = shop.host.present()[0]
    shop.host.activate(first)
    shop.host.succeed(first, 3)
    shop.want(release="two", broker="amqp://shop:new@127.0.0.1/shop")
    second = shop.host.present()[0]
    assert shop.host.change_passwords(second, ["CELERY_BROKER_URL"])
    derived = shop.host.good()
    assert derived not in (first, second)
    assert shop.host.describe(derived)["release"] == "one"
    shop.host.activate(second)
    shop.host.fail(second)
    assert shop.text(shop.host.active(), "credentials/CELERY_BROKER_URL") == "amqp://shop:new@127.0.0.1/shop"
    assert shop.host.active() == derived


def test_another_database_gets_no_password(shop: Shop) -> None:
    shop.deployed()
    second = shop.made(url="postgres://shop:second@192.0.2.1/shop")
    assert not shop.host.change_passwords(second, [])


def test_a_password_alone_makes_the_generation_that_was_asked_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shop.deployed()
    asked: list[tuple[str, str]] = []

    def change(_: Any, old: str, new: str, switch: Any) -> None:
        asked.append((old, new))
        switch()

    monkeypatch.setattr(generation.Host, "_change_role", change)
    second = shop.made(url="postgres://shop:second@127.0.0.1/shop")
    assert shop.host.change_passwords(second, [])
    assert asked == [(first, second)]
    assert shop.look() == (second,) * 3


def test_a_second_operator_is_refused_by_the_name_of_the_first(shop: Shop) -> None:
    shop.host.begin(ME)
    bob = {"name": "bob@other", "controller": "other", "process": "5:6", "alive": ["5:6"]}
    with pytest.raises(generation.RefusedError, match="ann@desk deploys to this host"):
        shop.host.begin(bob)
    colleague = ME | {"process": "7:8", "alive": ["1:2", "7:8"]}
    with pytest.raises(generation.RefusedError, match="ann@desk"):
        shop.host.begin(colleague)
    # The first run was killed, and this controller knows.
    shop.host.begin(colleague | {"alive": ["7:8"]})
    generation.remove(shop.host.lock)
    shop.host.begin(bob)


@pytest.mark.parametrize("lock", ["opt/shop/releases/.lock", "var/lib/shop/.migrating"], ids=["build", "migration"])
def test_a_build_or_migration_of_hours_keeps_a_second_operator_away(shop: Shop, lock: str) -> None:
    bob = {"name": "bob@other", "controller": "other", "process": "5:6", "alive": ["5:6"]}
    shop.host.begin(ME)
    (shop.root / lock).parent.mkdir(parents=True, exist_ok=True)
    with (shop.root / lock).open("w") as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "PATIENCE", 0)
        fcntl.flock(work, fcntl.LOCK_EX)
        with pytest.raises(generation.RefusedError, match="ann@desk"):
            shop.host.begin(bob)
        # What the same controller's killed run has left is waited for by what comes next.
        shop.host.begin(ME | {"process": "7:8", "alive": ["7:8"]})
        fcntl.flock(work, fcntl.LOCK_UN)
        shop.host.begin(bob)


def test_a_run_that_lost_the_host_to_another_one_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = {"name": "bob@other", "controller": "other", "process": "5:6", "alive": ["5:6"]}
    shop.host.begin(ME)
    shop.host.touch(ME)
    monkeypatch.setattr(generation, "PATIENCE", 0)
    shop.host.begin(bob)
    with pytest.raises(generation.RefusedError, match="bob@other deploys to this host meanwhile"):
        shop.host.touch(ME)
    shop.host.touch(bob)
    generation.remove(shop.host.lock)
    with pytest.raises(generation.RefusedError, match="Somebody else may have deployed"):
        shop.host.touch(ME)


def test_an_installation_without_generations_is_one_that_can_come_back(shop: Shop) -> None:
    shop.want()
    system = shop.host.system
    (system / "shop-.service.d").mkdir()
    (system / "shop-.service.d/10-shared.conf").write_text(
        "# Written\n[Service]\nUser=shop\nEnvironmentFile=/etc/shop/environment\n"
        "LoadCredential=DATABASE_URL:/etc/shop/credentials/DATABASE_URL\nEnvironment=DATABASE_URL_FILE=%d/DATABASE_URL\n"
        "StateDirectory=shop\n"
    )
    (system / "shop-web.service").write_text(
        "[Service]\nWorkingDirectory=/opt/shop/current\nExecStart=/opt/shop/current/.venv/bin/gunicorn x\n"
        "Environment=PYTHONPATH=/usr/local/lib/shop PYTHONUNBUFFERED=1\n"
    )
    (shop.host.etc / "environment").write_text("DEBUG=no\n")
    (shop.host.etc / "credentials").mkdir()
    (shop.host.etc / "credentials/DATABASE_URL").write_text("sqlite:///x")
    (shop.host.opt / "current").symlink_to("releases/one")
    shop.host.old_library.joinpath("supervised").mkdir(parents=True)
    (shop.host.old_library / "supervised/celery.py").write_text("old")
    assert shop.host.begin(ME)
    adopted = shop.host.good()
    assert shop.host.active() == adopted
    assert not shop.host.begin(ME)
    assert "User=shop\nStateDirectory=shop\n" in shop.text(adopted, "10-generation.conf")
    assert "ExecStart=gunicorn x\nEnvironment=PYTHONUNBUFFERED=1\n" in shop.text(adopted, "units/shop-web.service")
    second = shop.made(release="two")
    shop.host.activate(second)
    assert not (system / "shop-.service.d/10-shared.conf").exists()
    shop.host.fail(second)
    assert shop.host.active() == adopted
    shop.host.activate(shop.made(release="two"))
    shop.host.succeed(second, 3)
    left = {path.name for path in shop.host.etc.iterdir()}
    assert left == {"generations", "wanted", "current"}
    assert not (shop.host.old_library / "supervised").exists()
    assert shop.host.all() == [second]
    assert json.loads((shop.host.folder / "used.json").read_text()) == ["one", "two"]


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Yield what systemd tells of a service whose main process has this environment."""
    with subprocess.Popen(["/bin/sleep", "60"], env=request.param) as process:
        yield {"Id": "shop-web.service", "MainPID": str(process.pid), "Environment": "A=b RUNS_WITH=new PYTHONPATH=/x"}
        process.kill()


@pytest.mark.parametrize(
    ("service", "restarts"),
    [
        ({"INVOCATION_ID": "1", "RUNS_WITH": "new"}, False),
        ({"INVOCATION_ID": "1", "RUNS_WITH": "old"}, True),
        ({"INVOCATION_ID": "1"}, True),
        # Overwritten by a title; the credential tells.
        ({"title": "gunicorn: master"}, False),
    ],
    indirect=["service"],
)
def test_a_service_is_restarted_if_it_runs_with_something_else(
    service: dict[str, str], restarts: bool, tmp_path: Path
) -> None:
    (tmp_path / "shop-web.service").mkdir()
    (tmp_path / "shop-web.service/RUNS_WITH").write_text("new")
    assert units.runs_with_something_else(service, tmp_path) is restarts


def test_a_service_without_a_process_is_started_not_restarted(tmp_path: Path) -> None:
    assert units.runs_with_something_else({"Id": "shop.target"}, tmp_path) is False


def test_another_content_restarts_a_unit_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "NOTES", tmp_path / "notes")
    settings = tmp_path / "settings"
    settings.write_text("blue")
    patterns = [f"{tmp_path}/sett*"]
    units.write_note("shop.socket", {"invocation": "1", "files": units.digest(patterns)})
    noted = units.read_note("shop.socket", "1")["files"]
    assert units.outdated(patterns, units.digest(patterns), noted, 0) is None

    settings.write_text("red")
    # Written before the unit was started, says the clock.
    os.utime(settings, (1, 1))

    assert units.outdated(patterns, units.digest(patterns), noted, time.time())
    # Somebody else has started it since: the time is all there is.
    assert units.read_note("shop.socket", "2") == {}
    assert units.outdated(patterns, units.digest(patterns), None, time.time()) is None
    assert units.outdated(patterns, units.digest(patterns), None, 0) == str(settings)


def test_a_start_under_a_wrong_clock_is_told_in_todays_time() -> None:
    """After a boot with a clock that was ahead no file would be newer than the start."""
    asked = {"ExecMainStartTimestamp": "Fri 2099-01-02 03:04:05 UTC", "ActiveEnterTimestampMonotonic": "0"}
    moment = units.started_at(asked | {"ExecMainStartTimestampMonotonic": str(int((time.monotonic() - 60) * 1e6))})
    assert moment == pytest.approx(time.time() - 60, abs=5)
    # A socket has no process, and what never started has no moment.
    assert units.started_at({"ActiveEnterTimestampMonotonic": str(int(time.monotonic() * 1e6))})
    assert units.started_at(asked) is None
