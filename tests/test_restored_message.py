"""What a deployment over several hosts says when it restores what was before."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from project import ROOT

PLAY = """
- hosts: app
  gather_facts: false
  any_errors_fatal: true
  vars: {django_app_name: tutorial}
  tasks:
    - ansible.builtin.set_fact:
        django_app_before: {good: {id: "1", release: old}}
        django_app_generation: {id: "", release: new}
    - block:
        - ansible.builtin.set_fact: {django_app_activated: {changed: true}}
          when: lost_late
        - ansible.builtin.ping:
        - name: Migrate
          ansible.builtin.fail: {msg: no such column}
          when: not lost_host
      rescue:
        - ansible.builtin.import_tasks: PLAYBOOKS/tasks/restore_previous.yml
"""


@pytest.fixture(name="said")
def _said(tmp_path: Path) -> Any:
    def say(*, late: bool, lost: bool = True) -> str:
        hosts: dict[str, dict[str, Any]] = {"app1": {"ansible_connection": "local"}}
        if lost:
            hosts["app2"] = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
        inventory = {"app": {"hosts": hosts, "vars": {"lost_late": late, "lost_host": lost}}}
        (tmp_path / "hosts.json").write_text(json.dumps(inventory))
        (tmp_path / "templates").symlink_to(ROOT / "playbooks/templates")
        (tmp_path / "play.yml").write_text(PLAY.replace("PLAYBOOKS", str(ROOT / "playbooks")))
        result = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "--check", "-i", "hosts.json", "play.yml"],
            cwd=tmp_path,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode != 0
        return " ".join(result.stdout.split())

    return say


@pytest.mark.parametrize(
    ("late", "where"),
    [(False, "It keeps release old."), (True, "It has release new already, and isn't restored.")],
)
def test_a_host_that_is_lost_half_way_is_named_with_its_release(said: Any, late: bool, where: str) -> None:
    output = said(late=late)
    assert f"app2 can't be reached any more. {where} Run the playbook again when it answers" in output
    assert "app1 can't be reached" not in output


def test_a_failure_names_no_lost_host(said: Any) -> None:
    output = said(late=False, lost=False)
    assert 'The step "Migrate" failed: no such column' in output
    assert "can't be reached" not in output
