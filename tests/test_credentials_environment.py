"""Secrets reach projects that read NAME, by the process itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT

CODE = "import os, sys, credentials_environment; sys.stdout.write(repr(os.environ.get(sys.argv[1])))"


@pytest.mark.parametrize(
    ("name", "switch", "value"),
    [
        ("KEY", "true", "'from the file'"),
        ("KEY", "false", "'before'"),
        ("EMPTY", "true", "None"),
        ("LINES", "true", r"'a\nb'"),
    ],
)
def test_a_process_finds_its_credentials(name: str, switch: str, value: str, tmp_path: Path) -> None:
    for file, text in {"KEY": "from the file\n", "EMPTY": "", "LINES": "a\nb\n"}.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "CREDENTIALS_IN_ENVIRONMENT": switch, "KEY": "before"}
    result = subprocess.run(
        [sys.executable, "-c", CODE, name],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "roles/django_app/files"), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == value
