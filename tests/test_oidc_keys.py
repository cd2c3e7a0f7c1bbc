"""The keys of OpenID Connect: made once, and rotated in three steps, each of which waits for the one before."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from project import ROOT, load_plugin

plugin = load_plugin("roles/common/lookup_plugins/oidc_keys.py")
rsa_keys = load_plugin("roles/django_app/filter_plugins/rsa_keys.py")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
WAITS = {"published_seconds": 7200, "signed_seconds": 36000}


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "credentials/oidc_keys.json"
    plugin.generate(path)
    first = path.read_text()
    plugin.generate(path)

    assert (path.read_text(), path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (first, 0o600, 0o700)
    assert [one.name for one in path.parent.iterdir()] == ["oidc_keys.json"]
    assert rsa_keys.is_private_rsa_key(plugin.read(path)["signing"])


def test_processes_that_begin_together_agree(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom test_oidc_keys import plugin, Path\n"
    code += f"path = Path({str(tmp_path / 'keys.json')!r}); plugin.generate(path); print(path.read_text())"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert len({process.communicate()[0] for process in processes}) == 1


def step(keys: dict[str, str], now: datetime) -> dict[str, str]:
    """Do the step that is due, as the playbook does: other keys first, the time when the hosts have them."""
    found = plugin.rotation(keys, now)
    assert found["ready"]
    advanced = plugin.advance(keys)
    # Cut off here, the next run ends what this one began.
    half = plugin.rotation(advanced, now + timedelta(days=1))
    assert half["unfinished"] == (found["now"] != "retire the previous key")
    assert half["ready"] != half["unfinished"]
    noted: dict[str, str] = plugin.noted(advanced, now, **WAITS)
    return noted


def test_three_steps_wait_for_one_another() -> None:
    first = {"signing": plugin.new_key()}
    assert (plugin.rotation(first, NOW)["now"], plugin.published(first)) == ("publish the next key", [])

    publishing = step(first, NOW)
    assert publishing["signing"] == first["signing"]
    assert plugin.published(publishing) == [plugin.public(publishing["next"])]
    early = plugin.rotation(publishing, NOW + timedelta(seconds=7259))
    assert early == {
        "ready": False,
        "unfinished": False,
        "now": "wait until 2026-11-27 14:01:00 UTC to sign with the next key",
        "later": "run it again after 2026-11-27 14:01:00 UTC, with -e rotate=oidc, to sign with the next key.",
    }

    later = NOW + timedelta(seconds=7260)
    signing = step(publishing, later)
    assert signing["signing"] == publishing["next"]
    # Nobody can sign with the former one any more.
    assert plugin.published(signing) == [signing["former"]] == [plugin.public(first["signing"])]
    assert not plugin.rotation(signing, later + timedelta(seconds=36059))["ready"]

    last = step(signing, later + timedelta(seconds=36060))
    assert last == {"signing": signing["signing"]}
    assert plugin.rotation(last, NOW)["now"] == "publish the next key"


def look(folder: Path, **options: Any) -> Any:
    """Ask as Ansible does."""
    lookup = plugin.LookupModule()
    lookup.set_options = lambda **_: None
    lookup.get_option = {"beside": None, **options}.get
    return lookup.run([str(folder)], {})


def test_the_lookup(tmp_path: Path) -> None:
    assert look(tmp_path, check=True) == []
    assert look(tmp_path, beside="given") == []
    assert list(tmp_path.iterdir()) == []
    [found] = look(tmp_path)
    assert (rsa_keys.is_private_rsa_key(found["signing"]), found["published"]) == (True, [])
    assert look(tmp_path) == [found]
    [advanced] = look(tmp_path, advance=True)
    (tmp_path / "oidc_keys.json").write_text(advanced)
    [beside] = look(tmp_path, beside=f"{found['signing']}\n")
    assert rsa_keys.is_rsa_key(beside)
    assert "PRIVATE" not in beside
    assert look(tmp_path, beside="given") == []
    [noted] = look(tmp_path, noted=True, **WAITS)
    assert json.loads(noted).keys() == {"signing", "next", "due"}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"signing": "x"}', '{"signing": 5}', "x", '{"signing": null}'])
def test_a_broken_file_is_told_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "oidc_keys.json"
    path.write_text(text)

    assert look(tmp_path) == [{"signing": "", "published": []}]
    assert look(tmp_path, beside="given") == []
    [sentence] = look(tmp_path, check=True)
    assert "doesn't hold the keys of OpenID Connect; restore it from a copy" in sentence
    assert path.read_text() == text
