"""Ansible action: give each file of managed_files its text, from templates and files of the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

SOURCES = ("content", "secret_content", "template", "src", "contents")


class ActionModule(ActionBase):
    """Turn what the module's documentation offers into what its code takes: paths with their content."""

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module answers."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not isinstance(arguments.get("files"), list):
            raise AnsibleActionFail("files must be a list")
        arguments["files"] = [one for file in arguments["files"] for one in self._expanded(dict(file), task_vars or {})]
        # What Ansible prints of a task's arguments, if it is told to.
        self._task.args = {"files": [one.get("path") for one in arguments["files"]]}
        # In the host's journal Ansible wouldn't mask a secret of more than one line.
        variables = (task_vars or {}) | {"ansible_no_target_syslog": True}
        answer: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=variables)
        return answer

    def _expanded(self, file: dict[str, Any], task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the file, and behind a folder what is in it."""
        given = [name for name in SOURCES if file.get(name) is not None]
        folder = file.get("state") == "directory"
        if len(given) > 1 or (given and folder != (given[0] == "contents") and not (folder and given[0] == "src")):
            raise AnsibleActionFail(
                f"{file.get('path')}: {', '.join(given)} can't be what a {file.get('state', 'file')} gets"
            )
        secret = file.pop("secret", False) or "contents" in given
        template, variables = file.pop("template", None), file.pop("vars", None)
        source, texts = file.pop("src", None), file.pop("contents", None) or {}
        if template is not None:
            file["content"] = self._lookup("template", template, task_vars, template_vars=variables or {})
        elif source is not None and folder:
            found = Path(self._find_needle("files", source))
            names = sorted(path.name for path in found.iterdir() if path.is_file())
            texts = {name: (found / name).read_text(encoding="utf-8") for name in names}
        elif source is not None:
            file["content"] = Path(self._find_needle("files", source)).read_text(encoding="utf-8")
        if secret and "content" in file:
            file["secret_content"] = file.pop("content")
        if not texts:
            return [file]
        mode = f"{int(str(file['mode']), 8) & 0o666:04o}"
        shared = {name: file[name] for name in ("owner", "group") if name in file}
        kind = "secret_content" if secret else "content"
        inside = [
            {**shared, "path": f"{file['path']}/{name}", "mode": mode, kind: text} for name, text in texts.items()
        ]
        return [file, *inside]

    def _lookup(self, name: str, term: str, task_vars: dict[str, Any], **options: Any) -> str:
        lookup = lookup_loader.get(f"ansible.builtin.{name}", loader=self._loader, templar=self._templar)
        (text,) = lookup.run([term], variables=task_vars, **options)
        return str(text)
