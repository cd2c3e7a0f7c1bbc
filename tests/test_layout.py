"""Rules of the house that a reader of a change may overlook."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project import ROLES, ROOT, read_yaml

TASK_FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")])
PLAYBOOKS = sorted(ROOT.glob("playbooks/*.yml"))
# Playbooks that others import.
PARTS = {"app.yml", "broker.yml", "database.yml", "monitoring.yml", "proof.yml", "proxy.yml"}
RABBITMQ_TOOL = re.compile(r"\brabbitmq(ctl|-diagnostics|-plugins|-queues)\b")


def from_root(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tasks_in(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a task file or playbook, those in blocks too."""
    for item in node or []:
        yield item
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks_in(item.get(part))


def test_ansible_core_alone_is_enough() -> None:
    texts = [*ROOT.glob("roles/**/*.yml"), *ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/**/*.j2")]
    for path in texts:
        assert not re.search(r"\b(community|ansible)\.(?!builtin\b|com\b|cfg\b)[a-z]+\.[a-z_]+\b", path.read_text()), (
            path
        )


def test_every_verb_names_the_ansible_that_it_needs_first() -> None:
    for path in PLAYBOOKS:
        plays = [play for play in read_yaml(path) if "ansible.builtin.import_playbook" not in play]
        alone = read_yaml(path)[0].get("ansible.builtin.import_playbook") is None and path.name not in PARTS
        first = plays[0]["tasks"][0].get("ansible.builtin.import_tasks") if plays else ""
        assert not alone or first == "tasks/ansible_version.yml", path


def test_every_verb_refuses_a_run_without_hosts() -> None:
    for path in PLAYBOOKS:
        imported = {play.get("ansible.builtin.import_playbook") for play in read_yaml(path)}
        # Of the group beat move_beat.yml says so itself.
        if path.name not in {*PARTS, "hosts.yml", "move_beat.yml"}:
            assert imported & {"hosts.yml", "preflight.yml", "playbooks/preflight.yml"}, path


def test_site_imports_plays_and_nothing_else() -> None:
    plays = read_yaml(ROOT / "site.yml")
    assert [set(play) - {"name", "ansible.builtin.import_playbook"} for play in plays] == [set()] * len(plays)
    assert plays[0]["ansible.builtin.import_playbook"] == "playbooks/preflight.yml"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_template_knows_the_default_project(role: Path) -> None:
    for path in [path for path in role.glob("templates/**/*") if path.is_file()]:
        assert "tutorial" not in path.read_text(encoding="utf-8").lower(), from_root(path)


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS], ids=from_root)
def test_no_task_ignores_errors_or_waits_for_the_broker_without_end(path: Path) -> None:
    for task in tasks_in(read_yaml(path)):
        assert "ignore_errors" not in task, task["name"]
        calls = [str(task[module]) for module in task if module.endswith((".command", ".shell"))]
        for call in [call for call in calls if RABBITMQ_TOOL.search(call)]:
            assert "--timeout" in call or "timeout" in task, f"{task['name']}: {call} can hang"


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS], ids=from_root)
def test_nothing_on_the_controller_becomes_root(path: Path) -> None:
    """An inventory's ansible_become beats the keyword become, so the task sets the variable."""
    for task in tasks_in(read_yaml(path)):
        if task.get("delegate_to") == "localhost":
            assert task.get("vars", {}).get("ansible_become") is False, task["name"]


@pytest.mark.parametrize("path", [*PLAYBOOKS, *sorted(ROOT.glob("playbooks/vars/*.yml"))], ids=from_root)
def test_membership_comes_from_the_inventory(path: Path) -> None:
    """Which hosts a run reaches says what to refuse and who failed, never who belongs together."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("__installation_") and "ansible_play_hosts" in line:
            assert line.startswith("__installation_left_out:"), line


@pytest.mark.parametrize("path", [*PLAYBOOKS, *sorted(ROOT.glob("playbooks/vars/*.yml"))], ids=from_root)
def test_no_list_of_hosts_or_services_loses_its_order(path: Path) -> None:
    """Ansible's set filters return another order in each run: beat would start first, another host would migrate."""
    assert not re.search(r"\|\s*(intersect|union|symmetric_difference)\(", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS, *sorted(ROOT.glob("playbooks/tasks/*.yml"))], ids=from_root)
def test_no_condition_of_a_block_switches_off_what_must_always_run(path: Path) -> None:
    for task in tasks_in(read_yaml(path)):
        assert not ("always" in task and "when" in task), f"{task.get('name')}: the condition holds for its always, too"


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS], ids=from_root)
def test_facts_that_are_there_are_no_sign_that_they_were_read(path: Path) -> None:
    """A cache of facts, if ansible.cfg has one, brings those of an earlier run."""
    assert not re.search(r"ansible_facts[.\w]* is (not )?defined", path.read_text(encoding="utf-8"))


BY_STEPS = ["app", "rollback", "restore", "rotate_secrets", "proof", "preflight", "uninstall", "move_beat"]


@pytest.mark.parametrize("name", BY_STEPS)
def test_plays_that_coordinate_hosts_go_step_by_step(name: str) -> None:
    """With another strategy, set for all plays, a host would not wait for what another one has to do first."""
    plays = [play for play in read_yaml(ROOT / f"playbooks/{name}.yml") if "hosts" in play]
    assert [play.get("strategy") for play in plays if play["hosts"] != "localhost"] == ["linear"] * len(plays)


OWN_FILES = [path for folder in ("app", "molecule", "playbooks", "roles") for path in (ROOT / folder).rglob("*")]
PROGRAMS = [path for path in OWN_FILES if path.suffix in {".j2", ".py", ".sh", ".yml"} and path.is_file()]


def test_nothing_that_asks_a_host_about_itself_uses_a_proxy() -> None:
    """HTTP_PROXY of the environment, /etc/environment for example, knows nothing of the host's own pages."""
    for path in PROGRAMS:
        text = path.read_text(encoding="utf-8")
        assert "urlopen(" not in text, f"{from_root(path)}: build_opener(ProxyHandler({{}})) asks without a proxy"
        assert len(re.findall(r"\bbuild_opener\(", text)) == text.count("ProxyHandler({})"), from_root(path)
        assert text.count("ansible.builtin.uri:") == text.count("use_proxy: false"), from_root(path)
        calls = re.findall(r"\bcurl\b.*(?:localhost|127[.]0[.]0[.]1).*", text)
        assert [call for call in calls if "--noproxy" not in call] == [], from_root(path)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_role_uses_what_is_private_to_another(role: Path) -> None:
    """Names with two underscores stay in their role; what others need is a documented variable or fact."""
    others = sorted((other.name for other in ROLES if other != role), key=len, reverse=True)
    private = re.compile(rf"\b__(?:{'|'.join(others)})_\w+")
    for path in [path for path in role.rglob("*") if path.suffix in (".yml", ".j2", ".py", ".md")]:
        assert private.findall(path.read_text(encoding="utf-8")) == [], from_root(path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/**/*.*")), ids=from_root)
def test_no_play_uses_what_is_private_to_a_role(path: Path) -> None:
    private = re.compile(rf"\b__(?:{'|'.join(role.name for role in ROLES)})_\w+")
    assert private.findall(path.read_text(encoding="utf-8")) == []


def test_play_and_app_refuse_the_same_redirect_schemes() -> None:
    """The schemes of browsers and of servers can be no native application's."""
    app = (ROOT / "app/tutorial/oauth/redirects.py").read_text()
    (refused,) = re.findall(r"^NOT_PRIVATE = (\{[^}]*\})", app, re.MULTILINE)
    assert (
        sorted(ast.literal_eval(refused))
        == read_yaml(ROOT / "roles/django_app/vars/main.yml")["__django_app_browser_schemes"]
    )
