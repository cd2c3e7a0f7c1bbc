"""The argument specifications say the same as the defaults, completely."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from project import ROLES, ROOT, entry_points, read_yaml

WITH_DEFAULTS = [role for role in ROLES if (role / "defaults/main.yml").is_file()]
OWN_PLAYBOOKS = {"debian_upgrade": "upgrade_debian.yml"}
WITH_MAIN = [role for role in ROLES if (role / "tasks/main.yml").is_file()]


def options(role: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the options of all entry points, each as often as it is there."""
    return [item for entry in entry_points(role).values() for item in entry["options"].items()]


def name_of(role: Path) -> str:
    return role.name


@pytest.mark.parametrize("role", ROLES, ids=name_of)
@pytest.mark.parametrize("file", ["README.md", "meta/argument_specs.yml"])
def test_role_explains_itself(role: Path, file: str) -> None:
    assert (role / file).is_file(), f"{role.name} has no {file}"


@pytest.mark.parametrize(("kind", "folder"), [("module", "library"), ("lookup", "lookup_plugins")])
def test_ansible_doc_explains_every_plugin(kind: str, folder: str) -> None:
    """What the roles' pages tell to type; it refuses a text that YAML takes for something else."""
    paths = sorted(ROOT.glob(f"roles/*/{folder}/*.py"))
    command: list[str | Path] = [Path(sys.executable).with_name("ansible-doc"), f"--type={kind}"]
    command += [f"--module-path={':'.join(sorted({str(path.parent) for path in paths}))}"]
    answer = subprocess.run([*command, *(path.stem for path in paths)], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("role", WITH_DEFAULTS, ids=name_of)
def test_options_are_the_defaults(role: Path) -> None:
    assert set(entry_points(role)["main"]["options"]) == set(read_yaml(role / "defaults/main.yml"))


@pytest.mark.parametrize("role", WITH_DEFAULTS, ids=name_of)
def test_every_name_begins_with_the_role(role: Path) -> None:
    names = [*read_yaml(role / "defaults/main.yml"), *(read_yaml(role / "vars/main.yml") or {})]
    assert [name for name in names if not name.removeprefix("__").startswith(f"{role.name}_")] == []


@pytest.mark.parametrize("role", WITH_DEFAULTS, ids=name_of)
def test_literal_defaults_are_told_as_they_are(role: Path) -> None:
    told = entry_points(role)["main"]["options"]
    for name, default in read_yaml(role / "defaults/main.yml").items():
        if "{{" in str(default):  # computed: the specification describes it in words
            assert isinstance(told[name]["default"], str), name
        else:
            assert (told[name]["default"], type(told[name]["default"])) == (default, type(default)), name


@pytest.mark.parametrize("role", ROLES, ids=name_of)
def test_every_option_has_a_type_and_a_description(role: Path) -> None:
    for name, option in options(role):
        description = option["description"]
        text = description if isinstance(description, str) else " ".join(description)
        assert re.fullmatch(r"\S+( \S+){2,}\.", text, re.DOTALL), f"{name}: {text!r} is not a sentence"
        assert option["type"] in {"str", "path", "int", "bool", "list", "dict"}, name
        assert ("elements" in option) == (option["type"] == "list"), f"{name}: elements belong to lists, and to each"


@pytest.mark.parametrize("role", ROLES, ids=name_of)
def test_secrets_are_marked(role: Path) -> None:
    for name, option in options(role):
        if re.search(r"password|secret|credentials|_url$", name):
            assert option.get("no_log") is True, f"{name} lacks no_log"


def test_the_rule_for_secrets_finds_some() -> None:
    marked = {name for role in ROLES for name, option in options(role) if option.get("no_log")}
    assert {"rabbitmq_password", "django_app_secret_key", "django_app_broker_url"} <= marked


@pytest.mark.parametrize("role", WITH_MAIN, ids=name_of)
def test_role_has_a_preflight_with_the_same_options_and_its_play_runs_it_first(role: Path) -> None:
    assert (role / "tasks/preflight.yml").is_file()
    assert entry_points(role)["preflight"] == entry_points(role)["main"]
    # The role of a verb of its own is not one of site.yml's.
    playbook = OWN_PLAYBOOKS.get(role.name, "preflight.yml")
    tasks = read_yaml(ROOT / "playbooks" / playbook)[0]["tasks"]
    imports = [task["ansible.builtin.import_role"] for task in tasks if "ansible.builtin.import_role" in task]
    assert role.name in [task["name"] for task in imports if task["tasks_from"] == "preflight"]
