"""The scripts of scenario chaos: what they read from the journal doesn't depend on its length."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent.parent / "molecule" / "chaos"
# Far more than a pipe buffers, with a match in the first line.
LONG = "seq -f 'line %g of it' 200000"


def bash(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as the scenario does: behind shell.sh, under pipefail."""
    functions = (CHAOS / "files" / "shell.sh").read_text()
    return subprocess.run(["/bin/bash", "-c", f"{functions}\n{script}"], capture_output=True, text=True, timeout=60)


def test_a_match_in_a_long_journal_is_found() -> None:
    done = bash(f"{LONG} | first_match 'line [1-3] of' && echo found")
    assert done.stdout == "line 1 of it\nfound\n"


def test_no_match_fails() -> None:
    assert bash(f"{LONG} | first_match nothing || echo none").stdout == "none\n"


def test_matches_are_counted_and_none_is_no_failure() -> None:
    assert bash(f"{LONG} | count_matches 'line [1-3] of'; echo x | count_matches y").stdout == "3\n0\n"


@pytest.mark.parametrize("path", sorted(CHAOS.glob("f*/*.sh")), ids=lambda path: path.name)
def test_no_reader_of_a_pipe_ends_early(path: Path) -> None:
    early = re.compile(r"\|\s*(head|sed \S*q|grep [^|]*(-q|--quiet|-m|--max-count|--silent|>\s*/dev/null))")
    assert not early.search(path.read_text().replace("\\\n", " "))
