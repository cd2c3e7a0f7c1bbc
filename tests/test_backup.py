"""A backup is read as it was written, or refused: the part of the role that needs no host."""

import contextlib
import io
import json
import sqlite3
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from project import load_plugin

backup = load_plugin("roles/backup/files/backup.py")


def pack(path: Path, manifest: dict[str, Any], parts: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        backup.add(archive, "manifest.json", json.dumps(manifest).encode())
        for name, content in parts.items():
            backup.add(archive, name, content)
    return path


def manifest_of(parts: dict[str, bytes]) -> dict[str, Any]:
    described = []
    for name, content in parts.items():
        size, sha256 = backup.digest(io.BytesIO(content))
        described.append({"name": name, "size": size, "sha256": sha256})
    known = {"app": "shop", "release": "r1", "created": "2026-11-22T00:00:00+00:00", "host": "one", "reason": ""}
    return {"format": 1, **known, "engine": "sqlite", "counts": {"users": 1}, "parts": described}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE token (id INTEGER PRIMARY KEY, value TEXT)")
        connection.executemany("INSERT INTO token (value) VALUES (?)", [(f"{n * 7919:x}",) for n in range(200)])
    return {"database.sqlite3": path.read_bytes(), "schedule.json": b"[]"}


@pytest.fixture
def whole(tmp_path: Path, parts: dict[str, bytes]) -> Path:
    return pack(tmp_path / "shop-20261122T000000Z-r1.tar.gz", manifest_of(parts), parts)


def settings(folder: Path, kept_days: int = 14) -> Any:
    return backup.Settings("shop", str(folder), kept_days, "", "")


def test_a_whole_one_gives_back_its_database(whole: Path, parts: dict[str, bytes], tmp_path: Path) -> None:
    with (tmp_path / "database").open("w+b") as database:
        assert backup.verify(whole, database)["app"] == "shop"
        database.seek(0)
        assert database.read() == parts["database.sqlite3"]


def test_a_truncated_one_is_refused_wherever_it_ends(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    cut = tmp_path / "cut.tar.gz"
    for length in [*range(0, len(content), 97), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(backup.RefusedError, match="is damaged or no backup"):
            backup.verify(cut)


def test_a_flipped_bit_is_refused_wherever_it_is(whole: Path, parts: dict[str, bytes], tmp_path: Path) -> None:
    content, manifest, harmless = whole.read_bytes(), backup.verify(whole), 0
    flipped = tmp_path / "flipped.tar.gz"
    # What comes before is gzip's header with a date and a file name, which say nothing.
    begin = content.index(b"\0", 10) + 1
    for position in range(begin, len(content), 13):
        flipped.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        # The last byte of the compressed part has bits that say nothing.
        with (tmp_path / "database").open("w+b") as database, contextlib.suppress(backup.RefusedError):
            assert backup.verify(flipped, database) == manifest
            database.seek(0)
            assert database.read() == parts["database.sqlite3"]
            harmless += 1
    assert harmless <= 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "its format is 2, and this program knows 1"),
        ({"parts": []}, "it holds database.sqlite3, which its manifest doesn't name"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    change: dict[str, Any], sentence: str, parts: dict[str, bytes], tmp_path: Path
) -> None:
    path = pack(tmp_path / "changed.tar.gz", manifest_of(parts) | change, parts)
    with pytest.raises(backup.RefusedError, match=sentence):
        backup.verify(path)


def test_a_missing_part_is_refused(parts: dict[str, bytes], tmp_path: Path) -> None:
    path = pack(tmp_path / "less.tar.gz", manifest_of(parts), {"schedule.json": parts["schedule.json"]})
    with pytest.raises(backup.RefusedError, match=r"it lacks database\.sqlite3"):
        backup.verify(path)


def test_a_database_that_was_damaged_before_is_refused(parts: dict[str, bytes], tmp_path: Path) -> None:
    damaged = parts | {"database.sqlite3": parts["database.sqlite3"][:4096] + bytes(4096)}
    with pytest.raises(backup.RefusedError, match=r"The database in old\.tar\.gz is damaged"):
        backup.verify(pack(tmp_path / "old.tar.gz", manifest_of(damaged), damaged))


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + bytes(60)])
def test_what_is_no_backup_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.tar.gz"
    path.write_bytes(content)
    with pytest.raises(backup.RefusedError, match="is damaged or no backup"):
        backup.verify(path)
    with pytest.raises(backup.RefusedError, match=r"There is no file .*missing"):
        backup.verify(tmp_path / "missing")


def test_old_ones_go_but_the_newest_stays_whatever_its_age(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    names = [f"shop-{now - timedelta(days=days):{backup.STAMP}}-r1.tar.gz" for days in (40, 20, 13)]
    others = ["shop-notes.tar.gz", f"shop-two-{now - timedelta(days=40):{backup.STAMP}}-r1.tar.gz", "readme"]
    for name in [*names, *others]:
        (tmp_path / name).touch()
    backup.remove_old(settings(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([names[2], *others])
    backup.remove_old(settings(tmp_path, kept_days=1))
    assert (tmp_path / names[2]).exists()


def test_only_one_run_is_at_work_and_what_a_killed_one_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".work-killed").mkdir()
    monkeypatch.setattr(backup, "LOCK_SECONDS", 0)
    with backup.alone(settings(tmp_path)) as work:
        assert [path.name for path in tmp_path.glob(".work-*")] == [work.name]
        with pytest.raises(backup.RefusedError, match="Another run is still at work"), backup.alone(settings(tmp_path)):
            pass
    assert list(tmp_path.glob(".work-*")) == []


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


def test_settings_that_the_server_does_not_know_are_left_out_of_the_head_alone() -> None:
    if not django_settings.configured:
        django_settings.configure()
    known_head = load_plugin("roles/backup/files/backup_database.py").known_head
    head = [b"--\n", b"\n", b"SET lock_timeout = 0;\n", b"SET transaction_timeout = 0;\n", b"SELECT set_config('a');\n"]
    rest = [b"DROP TABLE token;\n", b"SET transaction_timeout = 0;\n"]
    script = io.BytesIO(b"".join(head + rest))

    # The last one may be a row.
    assert [*known_head(script, {b"lock_timeout"}), script.read()] == [*head[:3], head[4], *rest]
