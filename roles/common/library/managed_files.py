#!/usr/bin/python
"""Ansible module: bring many small files and folders into their state in one call."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import stat
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: managed_files
short_description: Bring many small files and folders into their state in one call
description:
  - Does what a list of M(ansible.builtin.template) and M(ansible.builtin.file) tasks does, at the price of one task.
    A template that has nothing to do costs about one CPU second over SSH, and a role here writes up to ten files.
  - A file is replaced by a rename in its own folder, with owner and mode set before the content is written,
    so that it is never half written and a secret is never readable by others, not even for a moment.
  - With O(keep_former_in) what is replaced is kept first, until M(former_files) puts it back or forgets it.
options:
  keep_former_in:
    description:
      - Folder in which everything is kept that this call replaces, unless it is kept there already, so that the folder
        holds what was there before the first of several runs. It is made with the first file.
      - Folders are not kept.
    type: path
  files:
    description: What should be there, in the order in which it is made.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path on the host.
        type: path
        required: true
      state:
        description:
          - V(file) writes O(files[].content), V(directory) makes a folder.
          - V(link) makes a symbolic link to O(files[].target).
          - V(absent) removes any of them.
        type: str
        choices: [file, directory, link, absent]
        default: file
      target:
        description: Where a link points.
        type: str
      content:
        description: The whole text of the file.
        type: str
      secret_content:
        description: The same for a file whose content must not be shown in diffs, output or logs.
        type: str
      owner:
        description: Name of the owning user; left as it is (root where new) if not given.
        type: str
      group:
        description: Name of the owning group; left as it is (root where new) if not given.
        type: str
      mode:
        description: Permissions as an octal string; required for files and folders.
        type: str
      deferred:
        description: Leave a file that is there with other content as it is, and tell it in RV(deferred_paths).
        type: bool
        default: false
      previous:
        description: Path of a file with the same owner and mode that gets the content which is replaced; empty before.
        type: path
author: the maintainers of this project
"""

EXAMPLES = r"""
- name: Write the settings
  managed_files:
    files:
      - {path: /etc/shop, state: directory, mode: "0755"}
      - path: /etc/shop/settings
        content: "{{ lookup('ansible.builtin.template', 'settings.j2') }}"
        mode: "0640"
"""

RETURN = r"""
changed_paths:
  description: The paths that were changed, in the order given.
  returned: always
  type: list
  elements: str
former_kept:
  description: Whether O(keep_former_in) is there.
  returned: always
  type: bool
deferred_paths:
  description: The paths whose content differs and was left to the caller.
  returned: always
  type: list
  elements: str
"""


class Former:
    """What was there before, in a folder: an index, and a copy of each file by its number in it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.index = os.path.join(folder, "index.json")
        self.kept: dict = {"begun": time.time(), "paths": []}
        if os.path.exists(self.index):
            with open(self.index, encoding="utf-8") as file:
                self.kept = json.load(file)

    def keep(self, path: str) -> None:
        """Keep the file or link, or that there is none, before it is changed."""
        if path in (entry["path"] for entry in self.kept["paths"]):
            return
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        entry = {"path": path, "state": "absent"}
        if os.path.islink(path):
            entry |= {"state": "link", "target": os.readlink(path)}
        elif os.path.isfile(path):
            entry |= {"state": "file", "copy": str(len(self.kept["paths"]))}
            copy = os.path.join(self.folder, entry["copy"])
            shutil.copy2(path, copy)
            found = os.stat(path)
            os.chown(copy, found.st_uid, found.st_gid)
        self.kept["paths"].append(entry)
        descriptor, temporary = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.kept, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.index)


class Entry:
    """One wanted file, folder or link, compared with what is on the host."""

    def __init__(self, module: AnsibleModule, spec: dict, former: Former | None = None) -> None:
        self.module = module
        self.former = former
        self.path: str = spec["path"]
        self.state: str = spec["state"]
        self.deferred: bool = spec["deferred"]
        self.previous: str | None = spec["previous"]
        self.secret = spec["secret_content"] is not None
        self.content: bytes = (spec["secret_content"] if self.secret else spec["content"] or "").encode()
        self.target: str = spec["target"] or ""
        if self.state in ("absent", "link"):
            self.mode = 0
        elif spec["mode"] is None:
            module.fail_json(msg=f"{self.path}: mode is missing")
        else:
            self.mode = int(spec["mode"], 8)
        try:
            self.found: os.stat_result | None = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            self.found = None
        wanted_type = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK}.get(self.state)
        if self.found and wanted_type and not wanted_type(self.found.st_mode):
            module.fail_json(msg=f"{self.path} exists and is not a {self.state}; move it away")
        keep = (self.found.st_uid, self.found.st_gid) if self.found else (os.geteuid(), os.getegid())
        self.uid = self._id(spec["owner"], lambda name: pwd.getpwnam(name).pw_uid, keep[0])
        self.gid = self._id(spec["group"], lambda name: grp.getgrnam(name).gr_gid, keep[1])

    def _id(self, name: str | None, lookup, keep: int) -> int:
        if name is None:
            return keep
        try:
            return lookup(name)
        except KeyError:
            if self.module.check_mode:  # an earlier task would have made the account
                return -1
            self.module.fail_json(msg=f"{self.path}: there is no user or group {name!r} on this host")

    def _current(self) -> bytes | None:
        if self.found is None or self.state != "file":
            return None
        with open(self.path, "rb") as file:
            return file.read()

    def apply(self) -> tuple[bool, list[dict]]:
        """Return whether something changed (or would), and the diffs."""
        if self.state == "absent":
            return self._remove()
        if self.state == "link":
            return self._link()
        before = self._current()
        diffs = []
        differs = self.found is None or (self.state == "file" and before != self.content)
        if self.state == "file" and differs:
            shown = (b"the old secret\n", b"the new secret\n") if self.secret else (before or b"", self.content)
            diffs.append(
                {
                    "before_header": self.path,
                    "after_header": self.path,
                    "before": shown[0].decode(errors="replace"),
                    "after": shown[1].decode(errors="replace"),
                }
            )
        replaces = before is not None and differs
        moves = self.previous is not None and (replaces or not os.path.lexists(self.previous))
        if moves:
            after = f"what was in {self.path}\n" if replaces else "nothing yet\n"
            heads = {"before_header": self.previous, "after_header": self.previous}
            diffs.append({**heads, "before": "", "after": after})
        was, wanted = self._attributes()
        if was != wanted:
            diffs.append(
                {
                    "before_header": f"{self.path} (attributes)",
                    "after_header": f"{self.path} (attributes)",
                    "before": was,
                    "after": wanted,
                }
            )
        changed = bool(diffs)
        if changed and not self.module.check_mode:
            if self.state == "directory":
                self._make_directory()
            elif not (self.deferred and replaces):
                self._keep()
                # Before the file itself, so that an interruption loses nothing.
                if moves:
                    self._write(self.previous, before if replaces else b"")
                if differs:
                    self._write(self.path, self.content)
                else:
                    self._set_attributes(self.path)
        return changed, diffs

    def left_to_the_caller(self) -> bool:
        """Tell whether the file is there with other content, which the caller sees to."""
        return self.deferred and self.found is not None and self._current() != self.content

    def _attributes(self) -> tuple[str, str]:
        if self.found is None:
            was = "absent\n"
        else:
            was = _describe(self.state, self.found.st_uid, self.found.st_gid, stat.S_IMODE(self.found.st_mode))
        return was, _describe(self.state, self.uid, self.gid, self.mode)

    def _set_attributes(self, path: str) -> None:
        os.chown(path, self.uid, self.gid)
        os.chmod(path, self.mode)

    def _make_directory(self) -> None:
        if self.found is None:
            os.mkdir(self.path, 0o700)
        self._set_attributes(self.path)

    def _write(self, path: str, content: bytes) -> None:
        folder, name = os.path.split(path)
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                self._set_attributes(temporary)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def _keep(self) -> None:
        if self.former and self.state != "directory":
            for path in (self.previous, self.path):
                if path:
                    self.former.keep(path)

    def _link(self) -> tuple[bool, list[dict]]:
        before = os.readlink(self.path) if self.found else "absent"
        if before == self.target:
            return False, []
        if not self.module.check_mode:
            self._keep()
            temporary = f"{self.path}.new"
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.symlink(self.target, temporary)
            os.replace(temporary, self.path)
        heads = {"before_header": self.path, "after_header": self.path}
        return True, [{**heads, "before": f"{before}\n", "after": f"{self.target}\n"}]

    def _remove(self) -> tuple[bool, list[dict]]:
        if self.found is None:
            return False, []
        if not self.module.check_mode:
            self._keep()
            if stat.S_ISDIR(self.found.st_mode):
                shutil.rmtree(self.path)
            else:
                os.unlink(self.path)
        return True, [
            {"before_header": self.path, "after_header": self.path, "before": "present\n", "after": "absent\n"}
        ]


def _describe(state: str, uid: int, gid: int, mode: int) -> str:
    return f"{state} {_name(pwd.getpwuid, uid)}:{_name(grp.getgrgid, gid)} {mode:04o}\n"


def _name(lookup, number: int) -> str:
    try:
        return lookup(number)[0]
    except (KeyError, OverflowError):
        return str(number)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "keep_former_in": {"type": "path"},
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
                    "target": {"type": "str"},
                    "content": {"type": "str"},
                    "secret_content": {"type": "str", "no_log": True},
                    "owner": {"type": "str"},
                    "group": {"type": "str"},
                    "mode": {"type": "str"},
                    "deferred": {"type": "bool", "default": False},
                    "previous": {"type": "path"},
                },
            },
        },
        supports_check_mode=True,
    )
    changed_paths, deferred_paths, diffs = [], [], []
    keep = module.params["keep_former_in"]
    former = Former(keep) if keep else None
    for spec in module.params["files"]:
        entry = Entry(module, spec, former)
        parent = os.path.dirname(entry.path)
        # In check mode an earlier task would have made the folder.
        if entry.state != "absent" and not module.check_mode and not os.path.isdir(parent):
            module.fail_json(msg=f"{entry.path}: the folder {parent} does not exist")
        changed, diff = entry.apply()
        if changed:
            changed_paths.append(entry.path)
        if entry.left_to_the_caller():
            deferred_paths.append(entry.path)
        diffs += diff
    module.exit_json(
        changed=bool(changed_paths),
        changed_paths=changed_paths,
        deferred_paths=deferred_paths,
        diff=diffs,
        former_kept=bool(keep) and os.path.isdir(keep),
    )


if __name__ == "__main__":
    main()
