"""What is reported of a unit that failed, whatever its journal holds; systemd's programs are stand-ins."""

import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT

HOSTILE = "2026-11-26T20:00:00 one worker[1]: \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \u202etfel\n    \xe9t\xe9\r\n"


def report(folder: Path, journalctl: str) -> list[str]:
    for name, script in (("journalctl", journalctl), ("systemctl", "echo Result=watchdog; echo 'StatusText=\x1b[2J'")):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
    command = [sys.executable, str(ROOT / "roles/monitoring/files/failure-report.py"), "shop-worker.service"]
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "RUNTIME_DIRECTORY": str(folder), "LC_ALL": "C.UTF-8"}
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return said.stdout.removesuffix("\n").split("\n")


def test_a_report_writes_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text(HOSTILE, encoding="utf-8")
    lines = report(tmp_path, f"cat {tmp_path}/lines; printf '\\377\\n'")
    assert all(line.startswith("<3>") and line.isprintable() for line in lines)
    assert lines[0].startswith("<3>shop-worker.service failed on ")
    assert lines[1] == "<3>2026-11-26T20:00:00 one worker[1]: red ?]0;title? ?2J ?tfel"
    assert lines[2] == "<3>    été?"


@pytest.mark.parametrize("journalctl", ["exit 0", "echo 'No journal files were found.' >&2; exit 1"])
def test_a_host_that_keeps_no_journal_has_a_report_as_well(tmp_path: Path, journalctl: str) -> None:
    (line,) = report(tmp_path, journalctl)
    assert line.endswith("(Result=watchdog, StatusText=?[2J); its last lines:")
