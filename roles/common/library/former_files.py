#!/usr/bin/python
"""Ansible module: put back, or forget, what managed_files has kept before it replaced it."""

from __future__ import annotations

import json
import os
import shutil

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: former_files
short_description: Put back, or forget, what managed_files has kept before it replaced it
description:
  - Files come back with their owner, mode and time of change; what wasn't there before is removed.
  - Killed in between, it can be run again.
options:
  folder:
    description: What was O(keep_former_in) of M(managed_files).
    type: path
    required: true
  state:
    description: V(restored) puts everything back; the folder is removed in both states.
    type: str
    choices: [restored, forgotten]
    required: true
author: the maintainers of this project
"""

EXAMPLES = r"""
- name: Put back what was there before
  former_files:
    folder: /etc/shop/former
    state: restored
"""

RETURN = r"""
begun:
  description: When the first file was kept, in seconds since 1970; null if none was.
  returned: always
  type: float
paths:
  description: What was put back or forgotten, in the order in which it had been replaced.
  returned: always
  type: list
  elements: str
links:
  description: Where the links among them pointed.
  returned: always
  type: dict
"""


def put_back(folder: str, entry: dict) -> None:
    """Bring one path to what it was."""
    path, beside = entry["path"], f"{entry['path']}.former"
    if entry["state"] == "absent":
        if os.path.lexists(path):
            os.unlink(path)
        return
    if os.path.lexists(beside):
        os.unlink(beside)
    if entry["state"] == "link":
        os.symlink(entry["target"], beside)
    else:
        copy = os.path.join(folder, entry["copy"])
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as target, open(copy, "rb") as source:
            shutil.copyfileobj(source, target)
        found = os.stat(copy)
        os.chown(beside, found.st_uid, found.st_gid)
        shutil.copystat(copy, beside)
    os.replace(beside, path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["restored", "forgotten"], "required": True},
        },
        supports_check_mode=True,
    )
    folder = module.params["folder"]
    index = os.path.join(folder, "index.json")
    try:
        with open(index, encoding="utf-8") as file:
            kept = json.load(file)
    except FileNotFoundError:
        kept = {"begun": None, "paths": []}
    there = os.path.isdir(folder)
    if there and not module.check_mode:
        if module.params["state"] == "restored":
            for entry in kept["paths"]:
                put_back(folder, entry)
        # First, since an index whose copies are half gone would put back nothing good.
        if os.path.exists(index):
            os.unlink(index)
        shutil.rmtree(folder)
    module.exit_json(
        changed=there,
        begun=kept["begun"],
        paths=[entry["path"] for entry in kept["paths"]],
        links={entry["path"]: entry["target"] for entry in kept["paths"] if entry["state"] == "link"},
    )


if __name__ == "__main__":
    main()
