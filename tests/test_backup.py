"""What of backups needs no host: restic as the program calls it, files put in place, backups in the old format."""

import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings as django_settings

from project import load_plugin

backup = load_plugin("roles/backup/files/backup.py")
needs_restic = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("restic"), reason="restic runs as a user of its own, so root has to start it"
)


# -- restic ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return the program's object with a repository that is there, of the user backup."""
    # pytest's folders are closed to others.
    folder = Path("/var/tmp", tmp_path_factory.mktemp("backup").name + f"-{os.getpid()}")  # noqa: S108
    folder.mkdir(mode=0o755)
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    repository = folder / "repository"
    for name, text in {
        "repository": str(repository),
        "password": "a password of this test",
        "environment": "{}",
    }.items():
        (secrets / name).write_text(text)
    kept = ["--keep-within=3d", "--keep-within-weekly=21d"]
    paths = {
        "folder": str(folder),
        "state": str(folder / "state"),
        "current": "",
        "manage": "",
        "cache": str(folder / "cache"),
        "certificates": str(folder / "letsencrypt"),
    }
    settings = backup.Settings("shop", "one", "backup", repository=str(repository), keep=kept, broker_user="", **paths)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    made = backup.Backup(settings, secrets)
    assert made.init() == f"Made {repository}"
    yield made
    made.lock.close()
    made.errors.close()
    for number, handler in before.items():
        signal.signal(number, handler)
    shutil.rmtree(folder)


def add(run: Any, *tags: str, days_ago: int = 0, host: str = "one") -> None:
    state = Path(run.settings.state)
    state.mkdir(mode=0o700, exist_ok=True)
    # Its user reads what belongs to root alone.
    (state / "upload").write_text(f"of {days_ago} days ago")
    (state / "upload").chmod(0o600)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - days_ago * 86400))
    options = [f"--tag={tag}" for tag in tags or ("app:shop",)]
    run.call("backup", "--quiet", f"--host={host}", f"--time={moment}", *options, str(state))


@needs_restic
def test_certificates_come_back_on_a_host_that_has_none(run: Any) -> None:
    folder, staged = Path(run.settings.certificates), run.settings.path("staged")
    assert run.restore_certificates() == ""
    (folder / "archive").mkdir(parents=True)
    (folder / "archive/key.pem").write_text("a key")
    (folder / "archive/key.pem").chmod(0o600)
    (folder / "live").symlink_to("archive")
    # Somebody else's.
    assert not run.has_certificates()
    (folder / "managed-by-ansible").write_text("# Written by Ansible (role web_proxy) for shop: what certbot has.\n")
    assert run.has_certificates()
    for host in ("one", "two"):
        with run.staged("staged"):
            backup.pack(folder, staged / "certificates.tar")
            run.call("backup", "--quiet", f"--host={host}", "--tag=app:shop", str(staged))
        (folder / "archive/key.pem").write_text("a key of another host")
    assert run.restore_certificates() == ""
    shutil.rmtree(folder)
    assert run.restore_certificates().startswith(f"Restored {folder} of backup ")
    assert (folder / "live/key.pem").read_text() == "a key"
    assert stat.S_IMODE((folder / "archive/key.pem").stat().st_mode) == 0o600
    add(run, "app:shop")
    shutil.rmtree(folder)
    # The newest one has none.
    assert run.restore_certificates() == ""
    assert not folder.exists()


@needs_restic
def test_what_the_tags_say_is_listed_and_old_files_come_first(run: Any) -> None:
    add(run, "app:shop", "release:r1", "reason:by the timer: at night")
    add(run, "app:other", "release:r1")
    (Path(run.settings.folder) / "shop-20261122T000000Z-r1.tar.gz").touch()
    old, new = run.snapshots()
    assert old["id"] == "shop-20261122T000000Z-r1.tar.gz"
    assert (new["release"], new["reason"], new["host"]) == ("r1", "by the timer: at night", "one")


@needs_restic
def test_the_policy_keeps_the_newest_whatever_its_age_and_nothing_of_other_hosts_and_apps_goes(run: Any) -> None:
    for days in (40, 39, 12, 11, 2, 1):
        add(run, days_ago=days)
    add(run, days_ago=90, host="two")
    add(run, "app:other", days_ago=90)
    run.forget()
    kept = sorted(snapshot["time"][:10] for snapshot in json.loads(run.call("snapshots", "--json")))
    day = 86400
    gone = [time.strftime("%Y-%m-%d", time.localtime(time.time() - days * day)) for days in (40, 39)]
    stays = [time.strftime("%Y-%m-%d", time.localtime(time.time() - days * day)) for days in (90, 90, 11, 2, 1)]
    assert not set(gone) & set(kept)
    assert [moment for moment in kept if moment in stays] == stays


@needs_restic
def test_a_host_that_may_not_remove_backups_removes_none(run: Any) -> None:
    add(run, days_ago=400)
    add(run)
    run.settings = run.settings._replace(keep=[])
    run.forget()
    assert len(run.snapshots()) == 2


@needs_restic
def test_a_wrong_password_is_told_and_makes_no_other_repository(run: Any) -> None:
    (run.secrets / "password").write_text("another one")
    for call in (run.init, run.snapshots):
        with pytest.raises(backup.RefusedError, match="backup_repository_password doesn't open /var/tmp"):
            call()


@needs_restic
def test_a_repository_that_went_is_told_and_not_begun_again_by_itself(run: Any) -> None:
    shutil.rmtree(run.settings.repository)
    for call in (run.snapshots, run.forget, lambda: run.call("check")):
        with pytest.raises(backup.RefusedError, match=r"There is no repository at .*: sudo shop-backup --init"):
            call()
    assert run.init().startswith("Made ")


@needs_restic
def test_what_is_no_backup_is_told(run: Any, tmp_path: Path) -> None:
    add(run)
    snapshot = run.snapshots()[0]["id"]
    for source, sentence in {
        "0123abcd": "There is no such backup at ",
        snapshot: "It is no backup of shop",
        "latest": "latest is not the id of a backup",
        "--help": "--help is not the id of a backup",
    }.items():
        with pytest.raises(backup.RefusedError, match=sentence):
            run.verify(source)


@needs_restic
def test_damage_is_told(run: Any) -> None:
    add(run)
    (pack,) = [
        path
        for path in Path(run.settings.repository, "data").rglob("*")
        if path.is_file() and path.stat().st_size < 600
    ][:1]
    content = bytearray(pack.read_bytes())
    content[10] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)
    with pytest.raises(backup.RefusedError, match="restic failed at"):
        run.call("check", "--read-data")


@needs_restic
def test_the_lock_of_a_killed_run_is_removed_and_that_of_another_computer_is_not(run: Any) -> None:
    add(run)
    locks = Path(run.settings.repository, "locks")
    (Path(run.settings.state) / "large").write_bytes(os.urandom(200 * 2**20))
    killed_in_mid_backup(run)
    run.call("check")
    assert not list(locks.iterdir())

    killed_in_mid_backup(run, "/usr/bin/unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")
    with pytest.raises(backup.RefusedError, match="Another computer works on "):
        run.call("check")


def killed_in_mid_backup(run: Any, *before: str) -> None:
    command, environment = run.command("backup", "--quiet", "--no-cache", run.settings.state)
    process = subprocess.Popen([*before, *command], env=environment)
    locks = Path(run.settings.repository, "locks")
    # restic writes it under another name first.
    while not any("-" not in path.name for path in locks.iterdir()):
        time.sleep(0.01)
    process.kill()
    process.wait()


@needs_restic
def test_secrets_are_not_told(run: Any) -> None:
    (run.secrets / "repository").write_text("rest:http://shop:hunter2-xyz@127.0.0.1:9/shop")
    (run.secrets / "environment").write_text(json.dumps({"RESTIC_REST_PASSWORD": "hunter3-xyz"}))
    with pytest.raises(backup.RefusedError) as refused:
        run.snapshots()
    assert "hunter" not in str(refused.value)
    command, _ = run.command("snapshots")
    assert "hunter" not in " ".join(command)


@needs_restic
@pytest.mark.parametrize(
    ("repository", "words"),
    [
        ("sftp:keeper@nas.example.org:/srv/shop", ["-p 22 ", " keeper@nas.example.org -s sftp"]),
        ("sftp:nas:/srv/shop", [" nas -s sftp"]),
        ("sftp://keeper@nas:2222//srv/shop", ["-p 2222 ", " keeper@nas -s sftp"]),
        ("sftp://keeper@[2001:db8::1]:2222//srv", ["-p 2222 ", " keeper@2001:db8::1 -s sftp"]),
        ("sftp://keeper@nas/srv", ["-p 22 ", " keeper@nas -s sftp"]),
    ],
)
def test_ssh_asks_for_the_server_of_the_repository(run: Any, repository: str, words: list[str]) -> None:
    (run.secrets / "repository").write_text(repository)
    line = run.command("snapshots")[0]
    told = line[line.index("--option") + 1]
    assert all(word in told for word in words), told
    assert "StrictHostKeyChecking=yes" in told


@needs_restic
def test_one_run_at_a_time_even_if_the_program_was_killed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "LOCK_SECONDS", 0)
    with pytest.raises(backup.RefusedError, match="Another run is still at work"):
        backup.Backup(run.settings, run.secrets)
    # restic has inherited the lock.
    command, environment = run.command("backup", "--stdin")
    with subprocess.Popen(command, env=environment, pass_fds=[run.lock.fileno()], stdin=subprocess.PIPE) as restic:
        run.lock.close()
        with pytest.raises(backup.RefusedError, match="Another run is still at work"):
            backup.Backup(run.settings, run.secrets)
        restic.kill()
    again = backup.Backup(run.settings, run.secrets)
    again.lock.close()
    again.errors.close()


@needs_restic
def test_how_runs_end_is_noted_for_others(run: Any) -> None:
    status = Path(run.settings.folder, "status.json")
    with run.note("backup") as entry:
        entry["id"] = "0123abcd"
    with pytest.raises(backup.RefusedError), run.note("backup"):
        raise backup.RefusedError("no room")
    with run.note("check"):
        pass
    noted = json.loads(status.read_text())
    assert noted["backup"]["id"] == "0123abcd"
    assert noted["backup"]["error"] == "no room"
    # Whatever it is that goes wrong.
    for error in (FileNotFoundError("no folder"), KeyboardInterrupt("by hand"), ValueError("no JSON")):
        with pytest.raises(type(error)), run.note("check"):
            raise error
        assert json.loads(status.read_text())["check"]["error"] == str(error)
    with run.note("check"):
        pass
    noted = json.loads(status.read_text())
    assert "error" not in noted["check"]
    assert status.stat().st_mode & 0o777 == 0o644


# -- The files of the state directory ----------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return backup_database.py for a state directory with a database, an upload and unpacked files."""
    state = tmp_path / "state"
    if not django_settings.configured:
        django_settings.configure()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    module = load_plugin("roles/backup/files/backup_database.py")
    engine = {
        "default": type("Connection", (), {"vendor": "sqlite", "settings_dict": {"NAME": str(state / "db.sqlite3")}})()
    }
    monkeypatch.setattr(module, "connections", engine)
    for name in (
        "db.sqlite3",
        "db.sqlite3-wal",
        ".migrating",
        "media/old",
        "both",
        ".restore/files/new",
        ".restore/files/both",
    ):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("restored" if "files" in name else "current")
    return module


def tree(module: ModuleType) -> dict[str, str]:
    paths = [path for path in module.STATE.rglob("*") if path.is_file() and module.UNPACKED not in path.parents]
    return {str(path.relative_to(module.STATE)): path.read_text() for path in paths}


LIVE = {"db.sqlite3": "current", "db.sqlite3-wal": "current", ".migrating": "current"}
CURRENT = LIVE | {"media/old": "current", "both": "current"}


def test_files_are_those_of_the_backup_and_the_live_database_stays(database: Any) -> None:
    with database.files_replaced(True):
        pass
    assert tree(database) == LIVE | {"new": "restored", "both": "restored"}
    assert not database.UNPACKED.exists()


def test_files_come_back_if_what_follows_fails(database: Any) -> None:
    with pytest.raises(SystemExit), database.files_replaced(True):
        sys.exit("the migration failed")
    assert tree(database) == CURRENT


@pytest.mark.parametrize("step", range(8))
def test_files_come_back_wherever_a_restore_was_killed(
    database: Any, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves no time to put anything back: the next run does."""
    left = iter(range(step))
    rename, put_back = Path.rename, database.put_back

    def killed(source: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return rename(source, target)

    with monkeypatch.context() as context:
        context.setattr(Path, "rename", killed)
        context.setattr(database, "put_back", lambda: None)
        try:
            with database.files_replaced(True):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    put_back()
    assert tree(database) == CURRENT


# -- The format before restic ------------------------------------------------------------------------------------------


def pack(path: Path, manifest: dict[str, Any], parts: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"manifest.json": json.dumps(manifest).encode(), **parts}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def manifest_of(parts: dict[str, bytes]) -> dict[str, Any]:
    described = [{"name": n, "size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in parts.items()]
    return {"format": 1, "app": "shop", "engine": "sqlite", "parts": described}


PARTS = {"database.sqlite3": b"".join(b"%x" % (n * 7919) for n in range(2000)), "schedule.json": b"[]"}


def fetch(path: Path) -> tuple[dict[str, Any], bytes]:
    folder = path.with_suffix(".parts")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return backup.fetch_old(path, folder), (folder / "database").read_bytes()


def test_an_old_one_gives_back_its_database_and_says_nothing_of_files(tmp_path: Path) -> None:
    manifest, content = fetch(pack(tmp_path / "old.tar.gz", manifest_of(PARTS), PARTS))
    assert content == PARTS["database.sqlite3"]
    assert "state_bytes" not in manifest


def test_a_truncated_or_changed_old_one_is_refused(tmp_path: Path) -> None:
    content = pack(tmp_path / "old.tar.gz", manifest_of(PARTS), PARTS).read_bytes()
    path, harmless = tmp_path / "damaged.tar.gz", 0
    for length in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(backup.RefusedError, match="is damaged or no backup"):
            fetch(path)
    # What comes before is gzip's header with a date and a file name, which say nothing.
    for position in range(content.index(b"\0", 10) + 1, len(content), 13):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        try:
            assert fetch(path)[1] == PARTS["database.sqlite3"]
            harmless += 1
        except backup.RefusedError:
            pass
    # The last byte of the compressed part has bits that say nothing.
    assert harmless <= 1


def test_an_old_one_that_lacks_or_forges_a_part_is_refused(tmp_path: Path) -> None:
    forged = PARTS | {"database.sqlite3": b"forged"}
    for parts in ({"schedule.json": b"[]"}, forged):
        with pytest.raises(backup.RefusedError, match="is damaged or no backup"):
            fetch(pack(tmp_path / "old.tar.gz", manifest_of(PARTS), parts))
    outside = {"../database.sqlite3": b"", "database.sqlite3": b""}
    assert fetch(pack(tmp_path / "old.tar.gz", manifest_of(outside), outside))
    assert not (tmp_path / "database.sqlite3").exists()


# -- Broker and PostgreSQL ---------------------------------------------------------------------------------------------


def test_the_brokers_own_user_and_what_went_are_not_brought_back() -> None:
    """RabbitMQ 4 exports bindings of queues that it doesn't export, and refuses to import these."""
    found = {
        "users": [{"name": "shop"}, {"name": "guest"}, {"name": "person"}],
        "permissions": [{"user": "shop"}, {"user": "person"}],
        "queues": [{"vhost": "/", "name": "mail"}],
        "exchanges": [],
        "bindings": [
            {"vhost": "/", "destination": "mail", "destination_type": "queue"},
            {"vhost": "/", "destination": "gone", "destination_type": "queue"},
        ],
        "parameters": [{"component": "shovel"}, {"component": "vhost-limits"}],
        "global_parameters": [{"name": "internal_cluster_id"}],
    }
    wanted = backup.wanted_definitions(found, "shop")
    assert wanted["users"] == [{"name": "person"}]
    assert wanted["permissions"] == [{"user": "person"}]
    assert [row["destination"] for row in wanted["bindings"]] == ["mail"]
    assert wanted["parameters"] == [{"component": "vhost-limits"}]
    assert "global_parameters" not in wanted


def test_settings_that_the_server_does_not_know_are_left_out_of_the_head_alone(database: Any) -> None:
    head = [b"--\n", b"\n", b"SET lock_timeout = 0;\n", b"SET transaction_timeout = 0;\n", b"SELECT set_config('a');\n"]
    rest = [b"DROP TABLE token;\n", b"SET transaction_timeout = 0;\n"]
    script = io.BytesIO(b"".join(head + rest))

    # The last one may be a row.
    assert [*database.known_head(script, {b"lock_timeout"}), script.read()] == [*head[:3], head[4], *rest]
