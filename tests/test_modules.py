"""The project's own modules, run as Ansible runs them, and its filters."""

import base64
import contextlib
import hashlib
import hmac
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import lookup_loader  # type: ignore[import-untyped]  # ansible has no type hints

from project import JOURNAL, ROOT, load_plugin

MANAGED_FILES = "roles/common/library/managed_files.py"
APT_SUITES = "roles/debian_upgrade/library/apt_suites.py"
LOOKUPS = ROOT / "roles/django_app/lookup_plugins"

broker_use = load_plugin("roles/rabbitmq/library/broker_use.py")
type_problems = load_plugin("roles/common/filter_plugins/argument_specs.py").type_problems
argument_specs = load_plugin("roles/common/filter_plugins/argument_specs.py")
password_hash = load_plugin("roles/rabbitmq/filter_plugins/rabbitmq.py").rabbitmq_password_hash
scram_sha_256 = load_plugin("roles/postgresql/filter_plugins/postgresql.py").scram_sha_256
host_facts = load_plugin("roles/common/library/host_facts.py")
repair_copies = load_plugin("roles/rabbitmq/files/repair_copies.py")
lock_file = load_plugin("roles/django_app/filter_plugins/lock_file.py")
source_archive = load_plugin("roles/django_app/lookup_plugins/source_archive.py")
fixture_problems = load_plugin("roles/periodic_tasks/filter_plugins/fixture.py").fixture_problems


def run_module(path: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run a module in a process of its own, in the way of Ansible's developer guide; return what it answers."""
    result = subprocess.run(
        [sys.executable, ROOT / path],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stdout, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def manage(*files: dict[str, Any], check: bool = False) -> dict[str, Any]:
    return run_module(MANAGED_FILES, check, files=list(files))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestManagedFiles:
    def test_makes_folder_and_file_then_rests(self, tmp_path: Path) -> None:
        folder, file = tmp_path / "shop", tmp_path / "shop/settings"
        wanted = [
            {"path": str(folder), "state": "directory", "mode": "0750"},
            {"path": str(file), "content": "colour = blue\n", "mode": "0640"},
        ]
        first = manage(*wanted)
        assert first["changed_paths"] == [str(folder), str(file)]
        assert (file.read_text(), mode(file), mode(folder)) == ("colour = blue\n", 0o640, 0o750)
        before = file.stat()
        second = manage(*wanted)
        assert (second["changed"], second["changed_paths"], second["diff"]) == (False, [], [])
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_new_files_belong_to_who_runs_it(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        manage({"path": str(file), "content": "", "mode": "0600"})
        assert (file.stat().st_uid, file.stat().st_gid) == (os.geteuid(), os.getegid())

    def test_shows_what_it_changes(self, tmp_path: Path) -> None:
        file = tmp_path / "settings"
        file.write_text("colour = blue\n")
        file.chmod(0o640)
        answer = manage({"path": str(file), "content": "colour = red\n", "mode": "0640"})
        assert answer["changed"] is True
        assert [(diff["before"], diff["after"]) for diff in answer["diff"]] == [("colour = blue\n", "colour = red\n")]
        assert file.read_text() == "colour = red\n"

    def test_corrects_a_mode_that_drifted(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("s")
        file.chmod(0o644)
        answer = manage({"path": str(file), "content": "s", "mode": "0600"})
        assert (answer["changed_paths"], mode(file)) == ([str(file)], 0o600)
        (diff,) = answer["diff"]
        assert (diff["before"].split()[-1], diff["after"].split()[-1]) == ("0644", "0600")

    def test_check_mode_predicts_and_changes_nothing(self, tmp_path: Path) -> None:
        folder, old = tmp_path / "shop", tmp_path / "old"
        old.write_text("")
        wanted = [
            {"path": str(folder), "state": "directory", "mode": "0755"},
            {"path": str(folder / "settings"), "content": "colour = blue\n", "mode": "0640"},
            {"path": str(old), "state": "absent"},
        ]
        predicted = manage(*wanted, check=True)
        assert list(tmp_path.iterdir()) == [old]
        done = manage(*wanted)
        assert (predicted["changed_paths"], predicted["diff"]) == (done["changed_paths"], done["diff"])
        assert done["changed_paths"] == [str(folder), str(folder / "settings"), str(old)]

    def test_removes_files_folders_and_links_but_not_what_links_lead_to(self, tmp_path: Path) -> None:
        kept, folder, link, file = (tmp_path / name for name in ("kept", "folder", "link", "file"))
        kept.mkdir()
        (folder / "sub").mkdir(parents=True)
        link.symlink_to(kept)
        file.write_text("")
        wanted = [{"path": str(path), "state": "absent"} for path in (folder, link, file)]
        assert manage(*wanted)["changed_paths"] == [str(folder), str(link), str(file)]
        assert list(tmp_path.iterdir()) == [kept]
        assert manage(*wanted)["changed"] is False

    @pytest.mark.parametrize("check", [True, False])
    def test_removes_a_folder_only_if_nothing_of_others_is_left(self, tmp_path: Path, check: bool) -> None:
        for name in ("ours/own", "shared/own", "shared/theirs"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
        wanted = [{"path": f"{tmp_path}/{folder}/own", "state": "absent"} for folder in ("ours", "shared")]
        folders = [{"path": f"{tmp_path}/{name}", "state": "absent", "if_empty": True} for name in ("ours", "shared")]
        paths = [f"{tmp_path}/{name}" for name in ("ours/own", "shared/own", "ours")]
        assert manage(*wanted, *folders, check=check)["changed_paths"] == paths
        assert (tmp_path / "ours").exists() == check
        assert (tmp_path / "shared/theirs").exists()

    @pytest.mark.parametrize("state", ["file", "directory"])
    def test_refuses_what_is_of_another_kind(self, tmp_path: Path, state: str) -> None:
        path = tmp_path / "settings"
        if state == "file":
            path.mkdir()
        else:
            path.write_text("")
        answer = manage({"path": str(path), "state": state, "content": "x", "mode": "0755"})
        assert answer["failed"] is True
        assert answer["msg"] == f"{path} exists and is not a {state}; move it away"

    def test_an_exclusive_folder_has_no_other_files(self, tmp_path: Path) -> None:
        folder, elsewhere = tmp_path / "shop", tmp_path / "elsewhere"
        wanted: list[dict[str, Any]] = [
            {"path": str(folder), "state": "directory", "mode": "0755", "exclusive": True},
            {"path": f"{folder}/KEY", "content": "ours", "mode": "0600"},
            {"path": f"{folder}/GONE", "state": "absent"},
        ]
        assert manage(*wanted, check=True)["changed_paths"] == [str(folder), f"{folder}/KEY"]
        manage(*wanted)
        (folder / "sub").mkdir()
        (folder / "sub/kept").touch()
        (folder / "OLD").write_text("of an earlier version")
        elsewhere.write_text("theirs")
        (folder / "link").symlink_to(elsewhere)
        (folder / "GONE").touch()
        expected = [f"{folder}/GONE", f"{folder}/OLD", f"{folder}/link"]
        assert manage(*wanted, check=True)["changed_paths"] == expected
        assert manage(*wanted)["changed_paths"] == expected
        assert sorted(path.name for path in folder.iterdir()) == ["KEY", "sub"]
        assert (elsewhere.read_text(), (folder / "sub/kept").exists()) == ("theirs", True)
        assert manage(*wanted)["changed"] is False

    def test_refuses_to_follow_a_link(self, tmp_path: Path) -> None:
        target, link = tmp_path / "target", tmp_path / "link"
        target.write_text("theirs")
        link.symlink_to(target)
        assert manage({"path": str(link), "content": "ours", "mode": "0644"})["failed"] is True
        assert target.read_text() == "theirs"

    def test_refuses_a_missing_folder(self, tmp_path: Path) -> None:
        answer = manage({"path": str(tmp_path / "none/settings"), "content": "", "mode": "0644"})
        assert answer["failed"] is True
        assert answer["msg"] == f"{tmp_path}/none/settings: the folder {tmp_path}/none does not exist"

    def test_refuses_a_missing_mode(self, tmp_path: Path) -> None:
        answer = manage({"path": str(tmp_path / "settings"), "content": ""})
        assert (answer["failed"], list(tmp_path.iterdir())) == (True, [])

    def test_a_secret_is_written_but_not_shown(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("old-hunter2")
        answer = manage({"path": str(file), "secret_content": "new-hunter2", "mode": "0600"})
        assert (answer["changed_paths"], file.read_text(), mode(file)) == ([str(file)], "new-hunter2", 0o600)
        assert "hunter2" not in json.dumps(answer)

    def test_a_new_secret_never_enters_a_file_that_others_have_open(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("old")
        file.chmod(0o644)
        with file.open() as opened_by_others:
            manage({"path": str(file), "content": "new", "mode": "0600"})
            assert opened_by_others.read() == "old"
        assert (file.read_text(), mode(file)) == ("new", 0o600)

    def test_a_secret_has_its_mode_before_its_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        module = load_plugin(MANAGED_FILES)
        modes = []
        fchown, replace = os.fchown, os.replace

        def watched_fchown(descriptor: int, uid: int, gid: int) -> None:
            modes.append(("empty", os.fstat(descriptor).st_size, stat.S_IMODE(os.fstat(descriptor).st_mode)))
            fchown(descriptor, uid, gid)

        def watched_replace(source: str, target: str, **folders: int) -> None:
            found = tmp_path / source
            modes.append(("written", found.stat().st_size, mode(found)))
            replace(source, target, **folders)

        monkeypatch.setattr(module.os, "fchown", watched_fchown)
        monkeypatch.setattr(module.os, "replace", watched_replace)
        umask = os.umask(0)
        try:
            module.apply(file_spec(tmp_path / "s", "abc", "0640"), [])
        finally:
            os.umask(umask)
        assert modes == [("empty", 0, 0o600), ("written", 3, 0o640)]

    def test_a_write_that_fails_leaves_the_old_file_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = load_plugin(MANAGED_FILES)
        file = tmp_path / "settings"
        file.write_text("old")

        def full(*_: object) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(module.os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            module.apply(file_spec(file, "new", "0644"), [])
        assert (file.read_text(), list(tmp_path.iterdir())) == ("old", [file])

    @pytest.mark.parametrize("wanted", [{"mode": "0644", "content": "x"}, {"mode": "0600", "content": "theirs"}])
    def test_refuses_a_file_with_another_name_elsewhere(self, tmp_path: Path, wanted: dict[str, str]) -> None:
        theirs, ours = tmp_path / "theirs", tmp_path / "ours"
        theirs.write_text("theirs")
        theirs.chmod(0o640)
        ours.hardlink_to(theirs)
        answer = manage({"path": str(ours), **wanted})
        assert (answer["failed"], theirs.read_text(), mode(theirs)) == (True, "theirs", 0o640)
        assert "more than one name" in answer["msg"]

    @pytest.mark.parametrize("state", ["file", "directory", "link", "absent"])
    def test_refuses_a_link_on_the_way(self, tmp_path: Path, state: str) -> None:
        (tmp_path / "theirs/sub").mkdir(parents=True)
        (tmp_path / "theirs/sub/x").write_text("theirs")
        (tmp_path / "way").symlink_to("theirs")
        if os.geteuid() == 0:
            os.lchown(tmp_path / "way", 65534, 65534)
        for folder in ("way", "way/sub"):
            answer = manage({"path": f"{tmp_path}/{folder}/x", "state": state, "mode": "0600", "target": "y"})
            assert answer["msg"].startswith(f"{tmp_path}/way is a link")
        assert (tmp_path / "theirs/sub/x").read_text() == "theirs"

    def test_follows_a_link_where_the_way_is_trusted(self, tmp_path: Path) -> None:
        (tmp_path / "inventory").mkdir()
        (tmp_path / "link").symlink_to("inventory")
        key = {"path": f"{tmp_path}/link/key", "content": "x", "mode": "0600"}
        former = key | {"path": f"{tmp_path}/link/key.former"}
        run_module(MANAGED_FILES, files=[former, key], trusted_path=True)
        assert sorted(path.name for path in (tmp_path / "inventory").iterdir()) == ["key", "key.former"]
        (tmp_path / "inventory/key").unlink()
        (tmp_path / "inventory/key").symlink_to("elsewhere")
        assert run_module(MANAGED_FILES, files=[key], trusted_path=True)["failed"] is True


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars: {colour: blue}
  tasks:
    - managed_files:
        files:
          - {path: "{{ out }}/text", content: "{{ colour }}\\n", mode: "0644"}
          - {path: "{{ out }}/template", template: settings.j2, mode: "0644"}
          - {path: "{{ out }}/own", template: settings.j2, vars: {colour: red}, mode: "0600", secret: true}
          - {path: "{{ out }}/file", src: plain.txt, mode: "0755"}
          - {path: "{{ out }}/code", state: directory, mode: "0750", src: code}
          - path: "{{ out }}/keys"
            state: directory
            mode: "0700"
            contents: {ONE: hunter1, TWO: "hunter2 {{ colour }}", KEY: "one line\\nhunter3\\n"}
"""


class TestManagedFilesAction:
    """The same, as a role calls it: texts come from the controller."""

    @pytest.fixture
    def play(self, tmp_path: Path) -> Path:
        for folder in ("templates", "files/code/deeper", "out"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "templates/settings.j2").write_text("{% if colour %}\ncolour = {{ colour }}\n{% endif %}\n")
        (tmp_path / "files/plain.txt").write_text("{{ as it is }}\n\n")
        (tmp_path / "files/code/a.py").write_text("a\n")
        (tmp_path / "files/code/b.py").write_text("b\n")
        (tmp_path / "play.yml").write_text(PLAYBOOK)
        return tmp_path

    @staticmethod
    def run(play: Path, *options: str, **environment: str) -> tuple[int, str]:
        roles = ROOT / "roles/common"
        program = Path(sys.executable).with_name("ansible-playbook")
        arguments = ["--inventory=localhost,", "--connection=local", f"--extra-vars=out={play}/out", "--diff", "-vvv"]
        result = subprocess.run(
            [program, *arguments, *options, play / "play.yml"],
            cwd=play,
            env=os.environ
            | {"ANSIBLE_LIBRARY": f"{roles}/library", "ANSIBLE_ACTION_PLUGINS": f"{roles}/action_plugins"}
            | {"ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": f"{play}/home"}
            | {"ANSIBLE_PYTHON_INTERPRETER": sys.executable}
            | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return result.returncode, result.stdout + result.stderr

    def test_no_secret_reaches_the_journal_whatever_ansible_cfg_there_is(self, play: Path) -> None:
        for path, text in JOURNAL.items():
            (play / path).parent.mkdir(exist_ok=True)
            (play / path).write_text(text)
        code, said = self.run(play, PYTHONPATH=str(play), ANSIBLE_NO_TARGET_SYSLOG="false")
        assert code == 0, said
        assert "hunter" in (play / "out/keys/KEY").read_text()
        assert not (play / "journal.txt").exists()

    def test_no_secret_is_printed_with_the_arguments_of_tasks(self, play: Path) -> None:
        code, said = self.run(play, ANSIBLE_DISPLAY_ARGS_TO_STDOUT="true", ANSIBLE_DISPLAY_OK_HOSTS="false")
        assert code == 0, said
        assert f"{play}/out/keys" in said
        assert not re.search("hunter[1-3]|colour = red", said)

    def test_texts_come_from_templates_files_folders_and_dictionaries(self, play: Path) -> None:
        assert self.run(play, "--check")[0] == 0
        assert list((play / "out").iterdir()) == []
        code, said = self.run(play)
        found = {str(path.relative_to(play / "out")): path for path in (play / "out").rglob("*") if path.is_file()}
        assert (code, {name: (path.read_text(), mode(path)) for name, path in found.items()}) == (
            0,
            {
                "text": ("blue\n", 0o644),
                "template": ("colour = blue\n", 0o644),
                "own": ("colour = red\n", 0o600),
                "file": ("{{ as it is }}\n\n", 0o755),
                "code/a.py": ("a\n", 0o640),
                "code/b.py": ("b\n", 0o640),
                "keys/ONE": ("hunter1", 0o600),
                "keys/TWO": ("hunter2 blue", 0o600),
                "keys/KEY": ("one line\nhunter3\n", 0o600),
            },
        )
        assert "colour = blue" in said
        assert "colour = red" not in said
        assert "changed=0" in self.run(play)[1]

    def test_two_texts_for_one_file_are_refused(self, play: Path) -> None:
        (play / "play.yml").write_text(PLAYBOOK.replace("src: plain.txt", "src: plain.txt, content: x"))
        code, said = self.run(play)
        assert (code, list((play / "out").iterdir())) == (2, [])
        assert "/out/file: content, src can't be what a file gets" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be tricked into what others may not do")
class TestRootAmongOthers:
    """What root does in a folder where another user, a real one, swaps files for links all the time."""

    NOBODY = 65534
    SWAP = """
import os, sys
folder, victim = sys.argv[1:]
os.chdir(folder)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print("ready", flush=True)
while True:
    for name in os.listdir("."):
        try:
            os.unlink(name)
            if name.startswith("."):
                os.symlink(victim, name)
        except OSError:
            pass
"""

    @pytest.fixture
    def victim(self, tmp_path: Path) -> Path:
        path = tmp_path / "victim"
        path.write_text("secret")
        path.chmod(0o600)
        return path

    @pytest.fixture
    def theirs(self, tmp_path: Path) -> Path:
        folder = tmp_path / "theirs"
        folder.mkdir()
        os.chown(folder, self.NOBODY, self.NOBODY)
        return folder

    def test_their_folder_is_refused(self, theirs: Path) -> None:
        for state in ("file", "directory", "link", "absent"):
            (theirs / "x").unlink(missing_ok=True)
            answer = manage({"path": f"{theirs}/x", "state": state, "mode": "0600", "target": "y"})
            assert answer["msg"].startswith(f"{theirs} is a folder that nobody owns, who could swap")
            assert list(theirs.iterdir()) == []

    def test_a_folder_in_which_everybody_writes_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "all").mkdir()
        (tmp_path / "all").chmod(0o777)
        assert "everybody can write" in manage({"path": f"{tmp_path}/all/x", "mode": "0600"})["msg"]
        (tmp_path / "all").chmod(0o1777)
        assert manage({"path": f"{tmp_path}/all/x", "mode": "0600"})["changed"] is True

    def test_a_link_of_root_is_followed_unless_it_leads_to_them(self, tmp_path: Path, theirs: Path) -> None:
        """As where /opt has moved to another disk."""
        (tmp_path / "disk/opt").mkdir(parents=True)
        (tmp_path / "opt").symlink_to("disk/opt")
        (tmp_path / "again").symlink_to(f"{tmp_path}/opt")
        (tmp_path / "circle").symlink_to("circle")
        (tmp_path / "nowhere").symlink_to("absent")
        (tmp_path / "bad").symlink_to("theirs")
        assert manage({"path": f"{tmp_path}/again/x", "content": "ours", "mode": "0600"})["changed"] is True
        assert (tmp_path / "disk/opt/x").read_text() == "ours"
        for name, words in (("circle", "is a link"), ("nowhere", "does not exist"), ("bad", "nobody owns")):
            assert words in manage({"path": f"{tmp_path}/{name}/x", "content": "ours", "mode": "0600"})["msg"]

    def test_their_folder_itself_may_be_made_and_removed(self, theirs: Path) -> None:
        (theirs / "link").symlink_to("/etc")
        wanted = {"path": str(theirs), "state": "directory", "owner": "nobody", "group": "nogroup", "mode": "0700"}
        assert manage(wanted)["changed_paths"] == [str(theirs)]
        assert manage({"path": str(theirs), "state": "absent"})["changed"] is True
        assert (theirs.exists(), Path("/etc").exists()) == (False, True)

    @pytest.mark.parametrize("trusted", [False, True])
    def test_nothing_follows_a_link_that_they_put_in_place(self, theirs: Path, victim: Path, trusted: bool) -> None:
        """Not even where their folder is called trusted."""
        module = load_plugin(MANAGED_FILES)
        before = (victim.read_text(), mode(victim), victim.stat().st_uid)
        descriptors = len(os.listdir("/proc/self/fd"))
        command = [sys.executable, "-c", self.SWAP, str(theirs), str(victim)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            ended = time.monotonic() + 3
            while time.monotonic() < ended and (victim.read_text(), mode(victim), victim.stat().st_uid) == before:
                spec = file_spec(theirs / "definitions.json", "ours", "0644") | {"owner": "nobody"}
                with contextlib.suppress(module.RefusedError, OSError):
                    module.apply(spec, [], trusted=trusted)
            process.kill()
        # Out of descriptors, each further round would have been an OSError and nothing tried.
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert (victim.read_text(), mode(victim), victim.stat().st_uid) == before


def file_spec(path: Path, content: str, mode: str) -> dict[str, Any]:
    """Return a file as a module sees it: what isn't given is there as None."""
    options = ("target", "secret_content", "owner", "group", "if_empty", "exclusive")
    return dict.fromkeys(options) | {"path": str(path), "state": "file", "content": content, "mode": mode}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small project as it is checked out."""
    folder = tmp_path / "source"
    (folder / "shop").mkdir(parents=True)
    (folder / "manage.py").write_text("#!/usr/bin/env python3\n")
    (folder / "manage.py").chmod(0o755)
    (folder / "shop/tasks.py").write_text("tasks = []\n")
    (folder / "shop/tasks.py").chmod(0o644)
    return folder


def archive(source: Path, cache: Path) -> tuple[str, Path]:
    lookup_loader.add_directory(str(LOOKUPS))
    (answer,) = lookup_loader.get("source_archive").run([str(source)], cache=str(cache))
    return answer["id"], Path(answer["path"])


class TestSourceArchive:
    def test_copies_have_the_same_id_and_the_same_bytes(self, source: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(source, copy)
        (copy / "manage.py").chmod(0o700)
        (copy / "shop/tasks.py").chmod(0o600)
        os.utime(copy / "shop/tasks.py", (1, 1))
        one, two = archive(source, tmp_path / "one"), archive(copy, tmp_path / "two")
        assert one[0] == two[0]
        assert one[1].read_bytes() == two[1].read_bytes()
        assert one[1].read_bytes()[4:8] == bytes(4), "the archive tells when it was made"

    @pytest.mark.parametrize("change", ["content", "execute bit", "name", "new file"])
    def test_a_change_gives_another_id(self, source: Path, tmp_path: Path, change: str) -> None:
        before, _ = archive(source, tmp_path / "cache")
        file = source / "shop/tasks.py"
        match change:
            case "content":
                file.write_text("tasks = [1]\n")
            case "execute bit":
                file.chmod(0o755)
            case "name":
                file.rename(file.with_name("chores.py"))
            case "new file":
                (source / "shop/empty.py").touch()
        assert archive(source, tmp_path / "cache")[0] != before

    def test_leaves_out_what_git_archive_leaves_out(self, source: Path, tmp_path: Path) -> None:
        for name in (
            "tests/test_shop.py",
            "shop/tests/data.json",
            "docs/a.md",
            "shop/docs/b.md",
            "notes.txt",
            "kept.md",
        ):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).touch()
        rules = "# not for a server\n\n/tests export-ignore\ndocs export-ignore\n*.txt text export-ignore\n*.md text\n"
        (source / ".gitattributes").write_text(rules)
        _, path = archive(source, tmp_path / "cache")
        with tarfile.open(path) as ours:
            names = sorted(member.name for member in ours)
        assert names == ["kept.md", "manage.py", "shop/tasks.py", "shop/tests/data.json"]

        git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-C", str(source)]
        for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
            subprocess.run([*git, *command], check=True)
        packed = subprocess.run([*git, "archive", "HEAD"], check=True, stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as theirs:
            files = sorted(member.name for member in theirs if member.isfile())
        assert [name for name in files if not name.startswith(".")] == names

    def test_leaves_out_what_work_leaves_behind(self, source: Path, tmp_path: Path) -> None:
        before, _ = archive(source, tmp_path / "cache")
        for name in (
            ".venv/bin/python",
            "shop/__pycache__/tasks.pyc",
            ".git/HEAD",
            "db.sqlite3",
            "db.sqlite3-wal",
            ".env",
        ):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text("x")
        after, packed = archive(source, tmp_path / "other")
        assert after == before
        with tarfile.open(packed) as tar:
            assert tar.getnames() == ["manage.py", "shop/tasks.py"]

    def test_members_belong_to_root_and_carry_only_the_execute_bit(self, source: Path, tmp_path: Path) -> None:
        (source / "shop/tasks.py").chmod(0o666)
        with tarfile.open(archive(source, tmp_path / "cache")[1]) as tar:
            members = tar.getmembers()
        assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "root", "root")}
        assert [(member.name, member.mode) for member in members] == [("manage.py", 0o755), ("shop/tasks.py", 0o644)]

    def test_sources_that_are_deployed_side_by_side_keep_their_archives(self, source: Path, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        _, one = archive(source, cache)
        (source / "manage.py").write_text("# new\n")
        _, two = archive(source, cache)
        assert set(cache.iterdir()) == {one, two}
        assert mode(cache) == 0o700
        os.utime(one, (0, 0))
        (source / "manage.py").write_text("# newer\n")
        _, three = archive(source, cache)
        assert set(cache.iterdir()) == {two, three}

    def test_what_links_lead_to_is_brought_along(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "common_lib").mkdir()
        (tmp_path / "common_lib/tools.py").write_text("x = 1\n")
        (tmp_path / "VERSION").write_text("1.0\n")
        (source / "common").symlink_to("../common_lib")
        (source / "VERSION").symlink_to("../VERSION")
        before, path = archive(source, tmp_path / "cache")
        with tarfile.open(path) as tar:
            members = {member.name: member for member in tar.getmembers()}
            assert {"common/tools.py", "VERSION", "manage.py"} <= set(members)
            assert all(member.isfile() for member in members.values())
            content = tar.extractfile("common/tools.py")
            assert content is not None
            assert content.read() == b"x = 1\n"
        (tmp_path / "common_lib/tools.py").write_text("x = 2\n")
        assert archive(source, tmp_path / "cache")[0] != before
        assert source_archive.source_problems(str(source)) == []

    @pytest.mark.parametrize(
        ("target", "problem"),
        [
            ("../gone", "is a link to ../gone, which isn't there"),
            (".", "leads to a folder that holds it"),
            ("/", "leads"),
        ],
    )
    def test_links_that_lead_nowhere_are_refused(self, source: Path, target: str, problem: str) -> None:
        (source / "shop/link").symlink_to(target)
        (sentence,) = source_archive.source_problems(str(source))
        assert problem in sentence


class TestLockFile:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        digest = f"--hash=sha256:{'0' * 64}"
        (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.11.2,<4"\n')
        (tmp_path / "base.txt").write_text(f"celery[redis]==5.5.0 {digest}\n")
        (tmp_path / "requirements.txt").write_text(
            f"# by uv\n--index-url https://example.org/simple\ndjango==5.2.1 \\\n    {digest} \\\n    {digest}\n"
            f"    # via shop\n-r base.txt\nurllib3==2.0 ; python_version < '3.12' {digest}\n"
            f"thing @ https://example.org/thing.whl {digest}\nDjango_Celery.beat==2.9.0 {digest}\n"
            f"django==6.0 ; python_version >= '3.12' {digest}\n"
        )
        return tmp_path

    def test_what_can_be_installed_passes(self, project: Path) -> None:
        python = {"major": 3, "minor": 11, "micro": 2}
        assert lock_file.lock_problems("requirements.txt", str(project), python) == []
        for role in ("requirements.txt", "requirements-dev.txt"):
            assert lock_file.lock_problems(role, str(ROOT / "app"), python) == []

    @pytest.mark.parametrize(
        ("wanted", "fits"), [(">=3.12", False), ("^3.11", True), (">=3.11.3", False), ("~=3.11", True)]
    )
    def test_the_python_that_the_project_needs(self, wanted: str, fits: bool, project: Path) -> None:
        (project / "pyproject.toml").write_text(f'[tool.poetry.dependencies]\npython = "{wanted}"\n')
        problems = lock_file.lock_problems("requirements.txt", str(project), {"major": 3, "minor": 11, "micro": 2})
        assert (problems == []) is fits


OPTIONS = {
    "shop_text": {"type": "str"},
    "shop_port": {"type": "int"},
    "shop_open": {"type": "bool"},
    "shop_names": {"type": "list", "elements": "str"},
    "shop_more": {"type": "dict"},
    "shop_level": {"type": "str", "choices": ["INFO", "ERROR"]},
    "shop_parts": {"type": "list", "elements": "str", "choices": ["web", "beat"]},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shop_text", ""),
        ("shop_port", 80),
        ("shop_port", "80"),  # what --extra-vars and INI inventories give
        ("shop_port", -1),
        ("shop_open", False),
        ("shop_open", "Yes"),
        ("shop_names", []),
        ("shop_more", {}),
        ("shop_level", "INFO"),
        ("shop_parts", ["beat"]),
    ],
)
def test_right_types_pass(name: str, value: object) -> None:
    assert type_problems(OPTIONS, {name: value}) == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("shop_text", 5, "shop_text must be text, but it is a whole number."),
        ("shop_text", ["secret"], "shop_text must be text, but it is a list."),
        ("shop_text", None, "shop_text must be text, but it is empty."),
        ("shop_text", True, "shop_text must be text, but it is true or false."),
        ("shop_port", True, "shop_port must be a whole number, but it is true or false."),
        ("shop_port", 1.5, "shop_port must be a whole number, but it is a fraction."),
        ("shop_port", "", "shop_port must be a whole number, but it is text."),
        ("shop_open", 1, "shop_open must be true or false, but it is a whole number."),
        ("shop_open", "secret", "shop_open must be true or false, but it is text."),
        ("shop_names", "secret", "shop_names must be a list, but it is text."),
        ("shop_names", ["a", 1], "shop_names must be a list in which each element is text."),
        ("shop_more", ["secret"], "shop_more must be a mapping, but it is a list."),
        ("shop_level", "secret", "shop_level must be one of INFO, ERROR."),
        ("shop_parts", ["web", "secret"], "shop_parts must be made of web, beat."),
        ("shop_port", "\N{ARABIC-INDIC DIGIT EIGHT}", "shop_port must be a whole number, but it is text."),
        ("shop_text", "secret\n", "shop_text must be one line, without a line break at its end."),
        ("shop_text", "secret\rsecret", "shop_text must be one line, without a line break at its end."),
        ("shop_names", ["a", "secret\n"], "shop_names must be one line each, without a line break at its end."),
        ("shop_level", "INFO\n", "shop_level must be one of INFO, ERROR."),
    ],
)
def test_wrong_values_are_named_but_not_shown(name: str, value: object, problem: str) -> None:
    assert type_problems(OPTIONS, {name: value}) == [problem]


SPECS = {
    "rabbitmq_user": {"type": "str"},
    "rabbitmq_password": {"type": "str"},
    "rabbitmq_node_name": {"type": "str"},
    "rabbitmq_plugins": {"type": "list"},
}


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("rabbitmq_pasword", "secret", "rabbitmq_password"),
        ("rabbitmq_passwrod", "secret", "rabbitmq_password"),
        ("rabbitmq_passwd", "secret", "rabbitmq_password"),
        ("rabbitmq_name_node", "secret", "rabbitmq_node_name"),
        ("rabbitmq_plugin", "secret", "rabbitmq_plugins"),
        ("rabbitmq_users", "secret", "rabbitmq_user"),
        # Variables of other roles.
        ("rabbitmq_users", [{"user": "secret"}], ""),
        ("rabbitmq_cluster_nodes", ["secret"], ""),
        ("rabbitmq_version", "4.1", ""),
    ],
)
def test_only_near_misses_are_misspelt(name: str, value: object, meant: str) -> None:
    near = argument_specs.near_names([name, *SPECS], SPECS)
    expected = [f"{name} is not a variable of this role; did you mean {meant}?"] if meant else []
    assert argument_specs.misspelt_names(near, SPECS, {name: value}) == expected


def documented_hash(password: str, salt: bytes) -> str:
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


@pytest.mark.parametrize("password", ["test12", "pässwörd", "a$b`c\"d\\e%f@g/h#i j{k}l'm"])
def test_password_hash_is_rabbitmqs(password: str) -> None:
    # The example of RabbitMQ's documentation; its salt is no text, which ours is.
    example = documented_hash("test12", bytes.fromhex("908DC60A"))
    assert example == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert password_hash(password, "Ab3z") == documented_hash(password, b"Ab3z")


def test_password_hash_refuses_another_length_of_salt() -> None:
    with pytest.raises(ValueError, match="four characters"):
        password_hash("test12", "Ab3")


def test_verifier_is_that_of_the_standard() -> None:
    # RFC 7677 has the salt and a signature by the last key.
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    _, iterations, keys = scram_sha_256("pencil", salt).split("$")
    assert iterations == "4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    signature = hmac.digest(base64.b64decode(keys.split(":")[1]), message.encode(), "sha256")
    assert base64.b64encode(signature).decode() == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_verifier_is_another_one_each_time() -> None:
    assert scram_sha_256("pencil") != scram_sha_256("pencil")


def test_verifier_refuses_what_clients_would_change() -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        scram_sha_256("Ⅸ")


TASKS = """
from celery import shared_task
from .celery import app

@shared_task
def tidy(): ...

@app.task(bind=True)
def count(self): ...

@shared_task(name="shop.named")
def other(): ...

def plain(): ...
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The source of a project with tasks in a module and in a package."""
    for folder in ("shop/jobs", "shop/.hidden"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "shop/tasks.py").write_text(TASKS)
    (tmp_path / "shop/jobs/__init__.py").write_text("@shared_task\ndef sweep(): ...\n")
    (tmp_path / "shop/.hidden/tasks.py").write_text("@shared_task\ndef hidden(): ...\n")
    (tmp_path / "shop/broken.py").write_text("def (:\n")
    return tmp_path


def problems(shop: Path, *rows: tuple[str, dict[str, Any]]) -> list[str]:
    fixture = shop / "fixture.json"
    fixture.write_text(json.dumps([{"model": f"django_celery_beat.{kind}", "fields": row} for kind, row in rows]))
    found: list[str] = fixture_problems(str(fixture), str(shop))
    return found


@pytest.mark.parametrize(
    "name",
    [
        "shop.tasks.tidy",
        "shop.tasks.count",
        "shop.named",
        "shop.jobs.sweep",
        "celery.backend_cleanup",  # another package's, which can't be known here
    ],
)
def test_fixture_may_name_registered_tasks(shop: Path, name: str) -> None:
    assert problems(shop, ("periodictask", {"name": "x", "task": name})) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("shop.tasks.tydi", "did you mean shop.tasks.tidy?"),
        ("shop.tasks.plain", "does not register"),
        ("shop.tasks.other", "does not register"),
        ("shop..hidden.tasks.hidden", "does not register"),
        ("shop.0123456789", "its tasks are shop.jobs.sweep, shop.named, shop.tasks.count, shop.tasks.tidy."),
    ],
)
def test_fixture_may_not_name_others_of_the_project(shop: Path, name: str, hint: str) -> None:
    (problem,) = problems(shop, ("periodictask", {"name": "x", "task": name}))
    assert f"names the task {name}, which the app in {shop} does not register; " in problem
    assert hint in problem


def test_fixture_needs_a_task_in_each_row(shop: Path) -> None:
    (problem,) = problems(shop, ("periodictask", {"name": "x"}))
    assert "The periodic task 'x' in" in problem


@pytest.mark.parametrize("every", [0, -1, None, True, "10", 1.5])
def test_fixture_needs_whole_positive_intervals(shop: Path, every: object) -> None:
    (problem,) = problems(shop, ("intervalschedule", {"every": every, "period": "seconds"}))
    assert problem.endswith(f"has every = {every!r}; set a whole number of 1 or more.")


def test_all_problems_of_a_fixture_are_told_at_once(shop: Path) -> None:
    found = problems(shop, ("intervalschedule", {"every": 0}), ("periodictask", {"task": "shop.tasks.none"}))
    assert len(found) == 2


def test_the_fixture_of_the_default_project_is_fine() -> None:
    assert fixture_problems(str(ROOT / "app/tutorial/fixtures/periodic_tasks.json"), str(ROOT / "app")) == []


OLD_FORMAT = """\
# deb http://mirror.example/debian bookworm main
deb http://mirror.example/bookworm bookworm main non-free-firmware
deb [arch=amd64 signed-by=/bookworm] https://me:pass@a.example/debian bookworm-updates main # bookworm
deb-src\thttp://mirror.example/debian-security bookworm-security/updates main
deb https://vendor.example/debian stable main
deb https://vendor.example/debian bookwormish main
"""
NEW_FORMAT = """\
Types: deb
URIs: http://mirror.example/bookworm
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/bookworm.gpg

Types: deb
Enabled: no
URIs: http://mirror.example/debian
suites: bookworm-security
Components: main
"""


class TestAptSources:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "sources.list.d").mkdir()
        (tmp_path / "sources.list").write_text(OLD_FORMAT)
        (tmp_path / "sources.list").chmod(0o640)
        (tmp_path / "sources.list.d/debian.sources").write_text(NEW_FORMAT)
        (tmp_path / "sources.list.d/vendor.list.save").write_text(OLD_FORMAT)
        return tmp_path

    def test_facts_name_the_suites_that_are_in_force(self, folder: Path) -> None:
        bookworm = ["bookworm", "bookworm-backports", "bookworm-security/updates", "bookworm-updates", "bookwormish"]
        assert host_facts.read_suites(folder) == [*bookworm, "stable"]
        assert host_facts.read_suites(folder / "none") == []

    def test_the_other_release_is_named_and_nothing_else_changed(self, folder: Path) -> None:
        wanted: dict[str, Any] = {"before": "bookworm", "after": "trixie", "folder": str(folder)}
        predicted = run_module(APT_SUITES, check=True, **wanted)
        assert (folder / "sources.list").read_text() == OLD_FORMAT
        done = run_module(APT_SUITES, **wanted)
        files = [str(folder / "sources.list"), str(folder / "sources.list.d/debian.sources")]
        assert done["changed_paths"] == predicted["changed_paths"] == files
        assert done["diff"] == predicted["diff"]
        assert "pass@" not in json.dumps(done)

        lines = (folder / "sources.list").read_text().splitlines()
        changed = [
            "deb http://mirror.example/bookworm trixie main non-free-firmware",
            "deb [arch=amd64 signed-by=/bookworm] https://me:pass@a.example/debian trixie-updates main # bookworm",
            "deb-src\thttp://mirror.example/debian-security trixie-security/updates main",
        ]
        before = OLD_FORMAT.splitlines()
        assert lines == [before[0], *changed, *before[4:]]
        assert mode(folder / "sources.list") == 0o640
        assert (folder / "sources.list.d/debian.sources").read_text() == (
            NEW_FORMAT.replace("Suites: bookworm bookworm-", "Suites: trixie trixie-")
            .replace("\n bookworm-", "\n trixie-")
            .replace("suites: bookworm", "suites: trixie")
        )
        assert (folder / "sources.list.d/vendor.list.save").read_text() == OLD_FORMAT
        assert run_module(APT_SUITES, **wanted)["changed"] is False


def test_facts_know_the_name_servers(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    assert host_facts.name_servers(path) == []
    path.write_text("# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.53\nnameserver\tfe80::1%eth0\n")
    assert host_facts.name_servers(path) == ["192.0.2.53", "fe80::1"]


def test_facts_know_what_database_an_app_runs_on(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    url, file = tmp_path / "credentials/DATABASE_URL", tmp_path / "a file"
    assert host_facts.app_database(tmp_path) == {"kind": "", "file": "", "hosts": []}
    url.write_text("postgres://shop:secret@db/shop")
    assert host_facts.app_database(tmp_path) == {"kind": "postgresql", "file": "", "hosts": ["db"]}
    url.write_text("postgres://shop:a%2Fb@10.0.0.1,10.0.0.2/shop?connect_timeout=2")
    assert host_facts.app_database(tmp_path) == {"kind": "postgresql", "file": "", "hosts": ["10.0.0.1", "10.0.0.2"]}
    url.write_text(f"sqlite:///{file}?timeout=5".replace(" ", "%20"))
    assert host_facts.app_database(tmp_path) == {"kind": "sqlite", "file": "", "hosts": []}
    file.touch()
    assert host_facts.app_database(tmp_path) == {"kind": "sqlite", "file": str(file), "hosts": []}


def test_facts_know_data_that_rabbitmq_4_refuses(tmp_path: Path) -> None:
    (tmp_path / "new@one-feature_flags").write_text("[classic_queue_type_delivery_support,\n feature_flags_v2].")
    assert host_facts.old_broker_data(tmp_path) == []
    (tmp_path / "old@one-feature_flags").write_text("[quorum_queue,stream_queue].")
    assert host_facts.old_broker_data(tmp_path) == ["old@one"]
    assert host_facts.old_broker_data(tmp_path / "none") == []


def test_facts_know_the_addresses(tmp_path: Path) -> None:
    table = tmp_path / "fib_trie"
    table.write_text(
        """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.1
              /32 host LOCAL
     +-- 192.0.2.0/24 2 0 1
           |-- 192.0.2.0
              /24 link UNICAST
        |-- 192.0.2.7
           /32 host LOCAL
Local:
        |-- 192.0.2.7
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
""",
        encoding="utf-8",
    )
    assert host_facts.read_addresses(table) == ["192.0.2.7"]


def test_copies_of_queues_that_do_not_run_are_found() -> None:
    # As RabbitMQ 4.0 says it, with a copy on the first node that crashed at its start.
    queues = [
        {"name": "celerybeat.leader", "members": ["rabbit@192.0.2.1"], "online": ""},
        {"name": "celery", "members": ["rabbit@192.0.2.1", "rabbit@192.0.2.2"], "online": ["rabbit@192.0.2.2"]},
        {"name": "maintenance", "members": ["rabbit@192.0.2.2"], "online": ["rabbit@192.0.2.2"]},
    ]
    assert repair_copies.missing_copies(queues, "rabbit@192.0.2.1") == ["celery"]
    assert repair_copies.missing_copies(queues, "rabbit@192.0.2.2") == []


def test_memory_of_a_host_is_read(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:         984572 kB\nMemFree:          123456 kB\n", encoding="utf-8")
    assert host_facts.memory_mb(path) == 961
    # As on every Linux, this one too.
    assert host_facts.memory_mb(Path("/proc/meminfo")) > 100


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ([], []),
        # An interrupted first run, or what an uninstall left.
        (["opt/shop-7/releases/abc/manage.py", "opt/shop-7/uv-0.9/bin/uv", "etc/shop-7/credentials/x"], []),
        (["var/lib/shop-7/.migrating", "var/lib/shop-7/db.sqlite3"], []),
        (["opt/shop-7/bin/shop"], ["/opt/shop-7"]),
        (["etc/shop-7/shop.conf"], ["/etc/shop-7"]),
        (["var/lib/shop-7/data"], ["/var/lib/shop-7"]),
        (["usr/lib/systemd/system/shop-7.service"], ["the unit shop-7.service"]),
        (["etc/systemd/system/shop-7-queue.timer"], ["the unit shop-7-queue.timer"]),
        (["usr/lib/systemd/system/shop-7@.service"], ["the unit shop-7@.service"]),
        (["usr/lib/systemd/system/shop-75.service"], []),
        (["usr/lib/sysusers.d/shop-7.conf"], ["/usr/lib/sysusers.d/shop-7.conf"]),
        (["etc/sysusers.d/shop-7.conf"], ["/etc/sysusers.d/shop-7.conf"]),
    ],
)
def test_what_others_have_under_the_name_of_the_app(paths: list[str], found: list[str], tmp_path: Path) -> None:
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("", encoding="utf-8")
    assert host_facts.app_conflicts("shop-7", [], tmp_path) == found


def test_drop_in_of_an_app_with_a_shorter_name_is_a_conflict(tmp_path: Path) -> None:
    """It would give the units of shop-eu-7 the environment and the secrets of shop."""
    for name in ("shop-.service.d", "shop-eu-.socket.d", "shops-.service.d", "shop-eu.service.d"):
        (tmp_path / "etc/systemd/system" / name).mkdir(parents=True)
    assert host_facts.app_conflicts("shop-eu-7", [], tmp_path) == [
        "/etc/systemd/system/shop-.service.d",
        "/etc/systemd/system/shop-eu-.socket.d",
    ]
    assert host_facts.app_conflicts("sho", [], tmp_path) == []


def test_what_these_roles_made_is_no_conflict(tmp_path: Path) -> None:
    for path in ("etc/shop-7/anything", "opt/shop-7/anything", "etc/systemd/system/shop-7-web.service"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("", encoding="utf-8")
    assert len(host_facts.app_conflicts("shop-7", [], tmp_path)) == 3
    (tmp_path / "etc/sysusers.d").mkdir()
    (tmp_path / "etc/sysusers.d/shop-7.conf").write_text('u shop-7 - "shop-7" /var/lib/shop-7\n', encoding="utf-8")
    assert host_facts.app_conflicts("shop-7", ["shop-7"], tmp_path) == []


def test_accounts_and_packages_of_others_are_conflicts(tmp_path: Path) -> None:
    assert host_facts.app_conflicts("news", ["dpkg"], tmp_path) == ["the group news", "the user news"]
    assert host_facts.app_conflicts("dpkg", ["dpkg"], tmp_path) == ["the package dpkg"]
    assert not host_facts.account_is_ours("news")


def test_facts_know_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as here, socket.create_server(("", 0)) as everywhere:
        found = {one["port"]: one for one in host_facts.listeners(Path("/proc"))}
        program = Path("/proc/self/comm").read_text().strip()
        for server, address in ((here, "127.0.0.1"), (everywhere, "")):
            one = found[server.getsockname()[1]]
            assert (one["address"], one["program"]) == (address, program)


def test_facts_know_whether_localhost_is_this_host() -> None:
    assert host_facts.is_loopback("localhost") is True
    assert host_facts.is_loopback("127.0.0.2") is False
    assert host_facts.is_loopback("localhost.invalid") is False


@pytest.mark.parametrize(
    ("settings", "plain"),
    [
        ("listeners.tcp.local = 127.0.0.1:5672\n", False),
        ("listeners.tcp.local = 10.0.0.1:5672\n", True),
        ("listeners.tcp.network = 0.0.0.0:5672\nlisteners.ssl.network = 0.0.0.0:5671\n", True),
        ("listeners.tcp.local = 127.0.0.1:5672\nlisteners.ssl.network = 10.0.0.1:5671\n", False),
    ],
)
def test_facts_know_whether_other_hosts_come_without_tls(settings: str, plain: bool, tmp_path: Path) -> None:
    (tmp_path / "rabbitmq-managed").mkdir()
    (tmp_path / "rabbitmq-managed/rabbitmq.conf").write_text(settings)
    assert host_facts.managed_broker(tmp_path, tmp_path)["plain"] is plain


def test_the_port_without_tls_stays_for_hosts_that_may_need_it(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    url = tmp_path / "credentials/CELERY_BROKER_URL"
    assert not host_facts.uses_plain_amqp(tmp_path)
    url.write_text("amqps://shop:secret@10.0.0.1:5671/shop")
    assert not host_facts.uses_plain_amqp(tmp_path)
    url.write_text("pyamqp://shop:secret@10.0.0.1:5672/shop")
    assert host_facts.uses_plain_amqp(tmp_path)
    plain_clients = load_plugin("roles/common/filter_plugins/fleet.py").plain_clients
    hostvars: dict[str, dict[str, Any]] = {
        "before": {"ansible_facts": {"app_uses_plain_amqp": True}},
        "after": {"ansible_facts": {"app_uses_plain_amqp": False}},
        "deployed": {"ansible_facts": {"app_uses_plain_amqp": True}, "django_app_generation": {}},
        "not asked": {},
    }
    assert plain_clients(list(hostvars), hostvars) == ["before", "not asked"]


def test_facts_know_the_broker_that_is_ours(tmp_path: Path) -> None:
    """That of earlier versions, too; a pipe or a link in a folder of the user rabbitmq doesn't stop them."""
    none = {"apps": [], "shared": False, "was_here": False, "old_files": [], "plain": False, "node": "", "nodes": []}
    none["inter_node_tls"] = False
    data = tmp_path / "mnesia"
    old = tmp_path / "rabbitmq"
    old.mkdir()
    (old / "definitions.json").write_text("{}")
    assert host_facts.managed_broker(tmp_path, data) == none
    os.mkfifo(old / "rabbitmq.conf")
    assert host_facts.managed_broker(tmp_path, data) == none
    (old / "rabbitmq.conf").unlink()
    (old / "rabbitmq.conf").write_text("# Written by Ansible (role rabbitmq): changes here are overwritten.\n")
    found = [str(old / name) for name in ("definitions.json", "rabbitmq.conf")]
    assert host_facts.managed_broker(tmp_path, data) == none | {"old_files": found}
    (tmp_path / "rabbitmq-managed/definitions.d").mkdir(parents=True)
    (tmp_path / "rabbitmq-managed/definitions.d/shop.json").write_text("{}")
    (tmp_path / "rabbitmq-managed/was-here.json").write_text("{}")
    shared = none | {"apps": ["shop"], "shared": True, "was_here": True, "old_files": found}
    assert host_facts.managed_broker(tmp_path, data) == shared
    (tmp_path / "rabbitmq-managed/rabbitmq.conf").write_text("")
    assert host_facts.managed_broker(tmp_path, data) == shared | {"shared": False}
    (tmp_path / "rabbitmq-managed/rabbitmq-env.conf").write_text("USE_LONGNAME=true\nNODENAME=rabbit@192.0.2.7\n")
    for name in ("rabbit@localhost", "rabbit@localhost-plugins-expand", "rabbit@192.0.2.7"):
        (data / name).mkdir(parents=True)
    (data / "rabbit@localhost.pid").write_text("7")
    nodes = {"node": "rabbit@192.0.2.7", "nodes": ["rabbit@192.0.2.7", "rabbit@localhost"]}
    assert host_facts.managed_broker(tmp_path, data) == shared | {"shared": False} | nodes
    with (tmp_path / "rabbitmq-managed/rabbitmq-env.conf").open("a") as env:
        env.write('CTL_ERL_ARGS="-proto_dist inet_tls"\n')
    assert host_facts.managed_broker(tmp_path, data)["inter_node_tls"]


WRITE_HBA = ROOT / "roles/postgresql/files/write_hba.py"


@pytest.mark.parametrize("end", ["\n", "\n\n"])
def test_lines_for_an_app_come_and_go_beside_those_of_others(tmp_path: Path, end: str) -> None:
    hba = tmp_path / "pg_hba.conf"
    theirs = "local all all peer\n# BEGIN of mine\nhost all all 10.9.0.0/24 md5" + end
    hba.write_text(theirs)
    hba.chmod(0o640)

    def write(database: str, way: str, *lines: str) -> str:
        command = [sys.executable, str(WRITE_HBA), str(hba), database, way, *lines]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert write("one", "check", "hostssl one") == "hostssl one\n"
    assert (hba.read_text(), write("one", "write")) == (theirs, "")
    assert write("one", "write", "hostssl one", "hostssl uno")
    assert write("two", "write", "hostssl two")
    both = hba.read_text()
    assert (write("one", "write", "hostssl one", "hostssl uno"), write("two", "write", "hostssl two")) == ("", "")
    assert (hba.read_text(), mode(hba)) == (both, 0o640)
    assert both.startswith(theirs)
    assert "\nhostssl one\nhostssl uno\n" in both
    write("one", "write")
    assert "hostssl two\n" in hba.read_text()
    write("two", "write")
    assert (hba.read_text(), list(tmp_path.iterdir())) == (theirs, [hba])


def test_lines_of_earlier_versions_are_replaced(tmp_path: Path) -> None:
    hba = tmp_path / "pg_hba.conf"
    words = [f"# {word} of what Ansible wrote (role postgresql)\n" for word in ("BEGIN", "END")]
    hba.write_text("local all all peer\n" + words[0] + "hostssl old\n" + words[1])
    subprocess.run([sys.executable, WRITE_HBA, hba, "one", "write"], check=True, stdout=subprocess.DEVNULL)
    assert hba.read_text() == "local all all peer\n"


def test_hosts_of_one_installation_are_those_with_its_name() -> None:
    of_installation = load_plugin("roles/common/filter_plugins/fleet.py").of_installation
    hostvars = {"b": {"installation": "shop"}, "a": {}, "c": {"installation": "shop"}, "d": {"installation": ""}}
    assert of_installation(["c", "d", "a", "b"], "shop", hostvars) == ["c", "b"]
    assert of_installation(["c", "d", "a", "b"], "", hostvars) == ["d", "a"]


def test_each_host_tries_the_brokers_in_another_order() -> None:
    begin_near = load_plugin("roles/common/filter_plugins/fleet.py").begin_near
    brokers, apps, addresses = ["one", "two", "three"], ["four", "five", "two"], ["a", "b", "c"]
    found = {here: begin_near(addresses, brokers, apps, here) for here in ("four", "five", "two", "else")}
    assert found == {
        "four": ["a", "b", "c"],
        "five": ["b", "c", "a"],
        "two": ["b", "c", "a"],
        "else": ["a", "b", "c"],
    }


def test_brokers_without_data_are_new_unless_nobody_has_looked() -> None:
    new_members = load_plugin("roles/common/filter_plugins/fleet.py").new_members
    here = {"ansible_facts": {"managed_broker": {"nodes": ["rabbit@localhost", "rabbit@a"]}}}
    hostvars = {"one": here, "two": here, "three": {"ansible_facts": {}}, "four": {}}
    assert new_members(["one", "two", "three", "four"], ["a", "b", "c", "d"], hostvars) == ["b"]
    for node, found in (("", []), ("rabbit@a", []), ("rabbit@localhost", ["a"])):
        there = {"ansible_facts": {"managed_broker": {"nodes": ["rabbit@a"], "node": node}}}
        assert new_members(["one"], ["a"], {"one": there}) == found


def test_a_database_is_new_where_its_host_lacks_it() -> None:
    new_databases = load_plugin("roles/common/filter_plugins/fleet.py").new_databases
    found = {"one": {"knows": True, "data": True}, "two": {"knows": True, "data": False}}
    hostvars = {host: {"ansible_facts": {"managed_database": database}} for host, database in found.items()} | {
        "three": {}
    }
    hosts, addresses = ["one", "two", "three"], ["a", "b", "c"]
    assert new_databases(hosts, addresses, hostvars, "knows") == []
    assert new_databases(hosts, addresses, hostvars, "data") == ["b"]


def test_what_a_host_has_of_three_databases(tmp_path: Path) -> None:
    managed_database = load_plugin("roles/common/library/host_facts.py").managed_database
    none = {"app": "", "knows": False, "data": False, "clusters": []}
    assert managed_database("shop", tmp_path) == none
    # A run that was cut off while packages were installed.
    mark = tmp_path / "etc/postgresql-common/createcluster.d/no-main.conf"
    mark.parent.mkdir(parents=True)
    mark.write_text("# Written by Ansible (role postgresql) for shop: changes\ncreate_main_cluster = false\n")
    assert managed_database("shop", tmp_path) == none | {"app": "shop"}
    for folder in (
        "etc/patroni",
        "etc/postgresql/15/main",
        "var/lib/etcd/shop/member/wal",
        "var/lib/postgresql/17/shop",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/postgresql/15/main/postgresql.conf").touch()
    (tmp_path / "var/lib/postgresql/17/shop/PG_VERSION").touch()
    (tmp_path / "var/lib/etcd/shop/member/wal/0-0.wal").touch()
    (tmp_path / "etc/patroni/config.yml").write_text("# Written by Ansible (role postgresql) for shop: changes\n")
    assert managed_database("shop", tmp_path) == {"app": "shop", "knows": True, "data": True, "clusters": ["15/main"]}
    assert managed_database("other", tmp_path) == {
        "app": "shop",
        "knows": True,
        "data": True,
        "clusters": ["15/main"],
    }


PLAIN_BROKER: dict[str, Any] = {
    "vhosts": [{"name": "/"}],
    "users": [{"name": "guest", "tags": ["administrator"]}],
    "global_parameters": [{"name": "internal_cluster_id", "value": "x"}],
}
SHOVEL = {"vhost": "/", "component": "shovel", "name": "to-nas", "value": {}}


@pytest.mark.parametrize(
    ("changed", "password", "found"),
    [
        ({}, "guest", []),
        ({}, "another", ["another password of the user guest"]),
        ({"users": []}, "guest", ["no user guest"]),
        ({"users": [{"name": "guest", "tags": []}]}, "guest", ["other rights of the user guest"]),
        ({"vhosts": []}, "guest", ["no virtual host /"]),
        ({"parameters": [SHOVEL]}, "guest", ["parameters shovel to-nas"]),
        ({"queues": [{"name": "orders", "vhost": "/"}]}, "guest", ["queues orders"]),
    ],
)
def test_what_was_changed_of_a_broker_is_use(changed: dict[str, Any], password: str, found: list[str]) -> None:
    def rabbitmqctl(arguments: list[str]) -> tuple[int, str, str]:
        if "export_definitions" in arguments:
            return 0, json.dumps(PLAIN_BROKER | changed), ""
        return int("authenticate_user" in arguments and arguments[-1] != password), "", ""

    assert broker_use.what_it_serves(rabbitmqctl, set()) == (found, False)


def test_whoever_wrote_units_or_programs_of_a_broker_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, programs = tmp_path / "system", tmp_path / "sbin"
    monkeypatch.setattr(broker_use, "SYSTEM", system)
    monkeypatch.setattr(broker_use, "PROGRAMS", programs)
    for folder in (system / "rabbitmq-server.service.d", system / "epmd.socket.d", programs):
        folder.mkdir(parents=True)
    for path in (system / "rabbitmq-server.service.d/10-hardening.conf", programs / "rabbitmqctl"):
        path.write_text(f"{broker_use.OURS}: changes here are overwritten.\n")
    assert broker_use.foreign_files() == []
    theirs = [
        programs / "rabbitmq-queues",
        system / "epmd.socket.d/port.conf",
        system / "rabbitmq-server.service",
        system / "rabbitmq-server.service.d/50-shop.conf",
    ]
    for path in theirs:
        path.write_text("[Service]\nLimitNOFILE=20000\n")
    # Masked.
    (system / "epmd.socket").symlink_to("/dev/null")
    assert broker_use.foreign_files() == sorted(str(path) for path in [*theirs, system / "epmd.socket"])
