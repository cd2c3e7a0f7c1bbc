#!/usr/bin/python
"""Ansible module: name another Debian release in APT's sources."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: apt_suites
short_description: Name another Debian release in APT's sources
description:
  - Changes the suites, and nothing else, in C(sources.list) and in the files of both formats in C(sources.list.d).
    Mirrors, options, components and comments stay as they are.
  - V(bookworm), V(bookworm-security) and any other suite that begins so becomes that of the other release.
options:
  before:
    description: Code name of the release that is named now.
    type: str
    required: true
  after:
    description: Code name of the release that is to be named.
    type: str
    required: true
  folder:
    description: Where the files are.
    type: path
    default: /etc/apt
author: the maintainers of this project
"""

EXAMPLES = r"""
- name: Name Debian 13 in APT's sources
  apt_suites: {before: bookworm, after: trixie}
"""

RETURN = r"""
changed_paths:
  description: The files that were changed.
  returned: always
  type: list
  elements: str
"""

# What stands before the suite in a line of the older format: type, options, address.
LINE = re.compile(r"(?m)^([ \t]*deb(?:-src)?[ \t]+(?:\[[^]]*\][ \t]+)?\S+[ \t]+)(\S+)")
# The field of the newer format, with the lines that continue it.
FIELD = re.compile(r"(?im)^(Suites:)(.*(?:\n[ \t].*)*)")


def renamed(text: str, pattern: re.Pattern[str], before: str, after: str) -> str:
    """Return the text of a file with the other release in what the pattern finds."""
    suite = re.compile(rf"(?<!\S){re.escape(before)}(?=[-/\s]|$)")
    return pattern.sub(lambda found: found[1] + suite.sub(after, found[2]), text)


def write(path: Path, text: str) -> None:
    """Replace the file by a rename; owner and mode stay."""
    was = path.stat()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchown(descriptor, was.st_uid, was.st_gid)
        os.fchmod(descriptor, was.st_mode & 0o7777)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "before": {"type": "str", "required": True},
            "after": {"type": "str", "required": True},
            "folder": {"type": "path", "default": "/etc/apt"},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    files = {path: LINE for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]}
    files |= dict.fromkeys(sorted(folder.glob("sources.list.d/*.sources")), FIELD)
    changed, diffs = [], []
    for path, pattern in files.items():
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        wanted = renamed(text, pattern, module.params["before"], module.params["after"])
        if wanted == text:
            continue
        changed.append(str(path))
        # An address may carry a password.
        shown = [re.sub(r"(//[^/\s:]+:)[^@/\s]+@", r"\1...@", each) for each in (text, wanted)]
        diffs.append({"before_header": str(path), "after_header": str(path), "before": shown[0], "after": shown[1]})
        if not module.check_mode:
            write(path, wanted)
    module.exit_json(changed=bool(changed), changed_paths=changed, diff=diffs)


if __name__ == "__main__":
    main()
