"""What <app>-manage says before it runs anything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from project import ROOT


@pytest.fixture
def program(tmp_path: Path) -> Path:
    templates = Environment(loader=FileSystemLoader(ROOT / "roles/django_app/templates"), autoescape=False)  # noqa: S701
    templates.filters["to_json"] = json.dumps
    text = templates.get_template("manage.py.j2").render(
        django_app_name="no-such-app", lookup=lambda *_: "", __django_app_releases="/opt/no-such-app/releases"
    )
    path = tmp_path / "manage"
    path.write_text(text)
    return path


def run(program: Path, *arguments: str) -> str:
    (program.parent / "here").mkdir(exist_ok=True)
    (program.parent / "here/rows.json").touch()
    done = subprocess.run(
        [sys.executable, program, *arguments], cwd=program.parent / "here", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["dumpdata", "--output", "/tmp/rows.json"],  # noqa: S108  # nothing is written
        ["dumpdata", "--output=/tmp/rows.json"],
        ["dumpdata", "-o", "rows.json"],
        ["loaddata", "/root/rows.json"],
        ["loaddata", "/var/lib/../../home/somebody/rows.json"],
        ["loaddata", "--ignorenonexistent", "rows.json"],
        ["--generation", "good", "loaddata", "../here/rows.json"],
    ],
)
def test_a_file_that_the_command_would_not_see_is_named(program: Path, arguments: list[str]) -> None:
    said = run(program, *arguments)
    assert "data wouldn't see /" in said
    assert "rows.json; let the shell open it" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["dumpdata", "--output", "/var/lib/no-such-app/rows.json"],
        ["loaddata", "--format=json", "-"],
        ["loaddata", "periodic_tasks"],
        ["loaddata", "fixture.json"],
        ["shell", "--command", "open('/tmp/x')"],
        ["changepassword", "home"],
    ],
)
def test_what_it_sees_is_left_to_it(program: Path, arguments: list[str]) -> None:
    said = run(program, *arguments)
    assert "wouldn't see" not in said
    assert said.startswith(("There is no generation", "Run it as root"))


def test_arguments_arrive_and_are_in_no_command_line(tmp_path: Path) -> None:
    """Which journald adds to each line that the process sends it."""
    (tmp_path / "manage.py").write_text(
        "import sys\nimport beside\n"
        "print(sys.argv, __name__, beside.found, open('/proc/self/cmdline').read().strip('\\0'), sep='|')"
    )
    (tmp_path / "beside.py").write_text("found = True")
    files = ROOT / "roles/django_app/files"
    code = "\n\n".join((files / f"{name}.py").read_text() for name in ("hide_arguments", "run_manage"))
    done = subprocess.run(
        [sys.executable, "-c", code, "createapplication", "--client-secret", "hunter2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    arguments = "['manage.py', 'createapplication', '--client-secret', 'hunter2']"
    assert done.stdout == f"{arguments}|__main__|True|manage.py createapplication\n"
