#!/usr/bin/python
"""Ansible module: bring many small files and folders into their state in one call."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: managed_files
short_description: Bring many small files and folders into their state in one call
description:
  - Does what a list of M(ansible.builtin.template), M(ansible.builtin.copy) and M(ansible.builtin.file) tasks does,
    at the price of one task. A template that has nothing to do costs about one CPU second over SSH, and a role here
    writes up to ten files.
  - A file is replaced by a rename in its own folder, with owner and mode set before the content is written,
    so that it is never half written and a secret is never readable by others, not even for a moment.
  - Works with descriptors, never with paths that can change meanwhile. Refuses links, files with more than one name,
    and, run by root, folders in which an unprivileged user can swap files.
options:
  trusted_path:
    description:
      - Whether nobody is to be feared on the way to the files, as on a controller, where the inventory may belong to
        another user and be reached by a link. In the last folder links are refused all the same.
    type: bool
    default: false
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
          - V(file) writes a file, V(directory) makes a folder.
          - V(link) makes a symbolic link to O(files[].target).
          - V(absent) removes any of them.
        type: str
        choices: [file, directory, link, absent]
        default: file
      exclusive:
        description: For V(directory), remove the files in it that this call doesn't name. Folders in it stay.
        type: bool
        default: false
      if_empty:
        description: With V(absent), whether a folder goes only if nothing is left in it.
        type: bool
        default: false
      target:
        description: Where a link points.
        type: str
      content:
        description: The whole text of the file.
        type: str
      template:
        description: The file gets the text of this template, found as M(ansible.builtin.template) finds it.
        type: str
      vars:
        description: Variables for O(files[].template) alone.
        type: dict
      src:
        description:
          - A file of the controller whose text the file gets, found as M(ansible.builtin.copy) finds it.
          - For V(directory) a folder, whose files (not those in folders of it) get the mode of the folder without x.
        type: str
      secret:
        description: Whether the content must not be shown in diffs, output or logs.
        type: bool
        default: false
      secret_content:
        description: The same as O(files[].content) with O(files[].secret).
        type: str
      contents:
        description:
          - For V(directory) what is written in it, text by file name, as secrets. The files get owner and group of the
            folder, and its mode without x.
        type: dict
      owner:
        description: Name of the owning user; left as it is (root where new) if not given.
        type: str
      group:
        description: Name of the owning group; left as it is (root where new) if not given.
        type: str
      mode:
        description: Permissions as an octal string; required for files and folders.
        type: str
author: the maintainers of this project
"""

EXAMPLES = r"""
- name: Write the settings
  managed_files:
    files:
      - {path: /etc/shop, state: directory, mode: "0755"}
      - {path: /etc/shop/settings, template: settings.j2, mode: "0640"}
      - {path: /etc/shop/shop.py, src: shop.py, mode: "0755"}
      - {path: /etc/shop/credentials, state: directory, mode: "0700", contents: {KEY: "{{ shop_key }}"}}
"""

RETURN = r"""
changed_paths:
  description: The paths that were changed, in the order given.
  returned: always
  type: list
  elements: str
"""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
KINDS = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK}
# In place of a descriptor.
MISSING = -1
NO_FOLDER = -2
MOST_LINKS = 20


class RefusedError(Exception):
    """What is on the host isn't safe to change."""


def open_folder(path: str, trusted: bool = False) -> int | None:
    """Return a descriptor of the folder, or nothing where there is no such folder.

    For root a link is followed if it is root's own, as where /opt has moved to another disk; nobody else's is.

    Raises:
        RefusedError: a part of the path is no folder, or root would work where another user can swap what is there.
    """
    walked, names, links = "/", _names(os.path.realpath(path) if trusted else path), 0
    here = os.open("/", FOLDER)
    try:
        while names:
            name = names.pop()
            inner, target = _enter(here, name)
            if target and links < MOST_LINKS:
                # From the top again, by a path without this link.
                links += 1
                names += _names(os.path.normpath(os.path.join(walked, target)))
                walked, inner = "/", os.open("/", FOLDER)
            else:
                walked = os.path.join(walked, name)
                if inner == MISSING:
                    return None
                if inner == NO_FOLDER:
                    raise RefusedError(f"{walked} is a link or a file, but a folder is needed there; move it away")
            os.close(here)
            here = inner
            if os.geteuid() == 0 and not trusted:
                _refuse_what_others_change(here, walked)
        here, opened = -1, here
        return opened
    finally:
        if here >= 0:
            os.close(here)


def _names(path: str) -> list[str]:
    """Return the parts of a path, the first one last."""
    return [name for name in path.split("/") if name][::-1]


def _enter(folder: int, name: str) -> tuple[int, str]:
    """Return a descriptor of the folder in the folder, or why there is none and where a link of root's leads."""
    try:
        return os.open(name, FOLDER, dir_fd=folder), ""
    except FileNotFoundError:
        return MISSING, ""
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    roots = os.geteuid() == 0 and found.st_uid == 0 and stat.S_ISLNK(found.st_mode)
    return NO_FOLDER, os.readlink(name, dir_fd=folder) if roots else ""


def _refuse_what_others_change(folder: int, path: str) -> None:
    found = os.fstat(folder)
    open_to_all = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    if found.st_uid != 0 or open_to_all:
        who = "everybody can write" if open_to_all else f"{_name(pwd.getpwuid, found.st_uid)} owns"
        raise RefusedError(f"{path} is a folder that {who}, who could swap what root writes there; use one of root's")


def write_file(folder: int, name: str, content: bytes, uid: int, gid: int, mode: int) -> None:
    """Replace the file in the folder by one that has its owner and mode before it has its content."""
    temporary = f".{name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise


class Entry:
    """One wanted file, folder or link, compared with what is on the host."""

    def __init__(self, spec: dict, folder: int | None, check_mode: bool) -> None:
        self.check_mode = check_mode
        self.path: str = spec["path"].rstrip("/")
        self.state: str = spec["state"]
        self.if_empty: bool = bool(spec["if_empty"])
        self.secret = spec["secret_content"] is not None
        self.content: bytes = (spec["secret_content"] if self.secret else spec["content"] or "").encode()
        self.target: str = spec["target"] or ""
        if self.state in ("file", "directory") and spec["mode"] is None:
            raise RefusedError(f"{self.path}: mode is missing")
        self.mode = int(spec["mode"] or "0", 8)
        parent, self.name = os.path.split(self.path)
        self.folder = folder
        # In check mode an earlier task would have made the folder.
        if folder is None and self.state != "absent" and not check_mode:
            raise RefusedError(f"{self.path}: the folder {parent} does not exist")
        self.found: os.stat_result | None = None
        if folder is not None:
            with contextlib.suppress(FileNotFoundError):
                self.found = os.stat(self.name, dir_fd=folder, follow_symlinks=False)
        if self.found and self.state in KINDS and not KINDS[self.state](self.found.st_mode):
            raise RefusedError(f"{self.path} exists and is not a {self.state}; move it away")
        self.before = self._read() if self.found and self.state == "file" else None
        keep = (self.found.st_uid, self.found.st_gid) if self.found else (os.geteuid(), os.getegid())
        self.uid = self._id(spec["owner"], pwd.getpwnam, keep[0])
        self.gid = self._id(spec["group"], grp.getgrnam, keep[1])

    def _open(self, flags: int) -> int:
        """Return a descriptor of the file, which has no second name in somebody else's folder, or of the folder."""
        descriptor = os.open(self.name, flags, dir_fd=self.folder)
        found = os.fstat(descriptor)
        if flags == FILE and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1):
            os.close(descriptor)
            raise RefusedError(f"{self.path} is a file with more than one name, or none; move it away")
        return descriptor

    def _read(self) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), os.fdopen(self._open(FILE), "rb") as file:
            return file.read()
        return None

    def _id(self, name: str | None, lookup, keep: int) -> int:
        if name is None:
            return keep
        try:
            return lookup(name)[2]
        except KeyError:
            if self.check_mode:  # an earlier task would have made the account
                return -1
            raise RefusedError(f"{self.path}: there is no user or group {name!r} on this host") from None

    def apply(self, gone: list[str]) -> tuple[bool, list[dict]]:
        """Return whether something changed (or would), and the diffs; check mode left in place what is gone."""
        if self.state == "absent":
            return self._remove(gone)
        if self.state == "link":
            return self._link()
        diffs = []
        differs = self.found is None or (self.state == "file" and self.before != self.content)
        if self.state == "file" and differs:
            shown = (b"the old secret\n", b"the new secret\n") if self.secret else (self.before or b"", self.content)
            diffs.append(_diff(self.path, shown[0].decode(errors="replace"), shown[1].decode(errors="replace")))
        was, wanted = "absent\n", _describe(self.state, self.uid, self.gid, self.mode)
        if self.found:
            was = _describe(self.state, self.found.st_uid, self.found.st_gid, stat.S_IMODE(self.found.st_mode))
        if was != wanted:
            diffs.append(_diff(f"{self.path} (attributes)", was, wanted))
        if diffs and not self.check_mode:
            if self.state == "file" and differs:
                write_file(self.folder, self.name, self.content, self.uid, self.gid, self.mode)
            else:
                self._set_attributes()
        return bool(diffs), diffs

    def _set_attributes(self) -> None:
        if self.found is None:
            os.mkdir(self.name, 0o700, dir_fd=self.folder)
        descriptor = self._open(FOLDER if self.state == "directory" else FILE)
        try:
            os.fchown(descriptor, self.uid, self.gid)
            os.fchmod(descriptor, self.mode)
        finally:
            os.close(descriptor)

    def _link(self) -> tuple[bool, list[dict]]:
        before = os.readlink(self.name, dir_fd=self.folder) if self.found else "absent"
        if before == self.target:
            return False, []
        if not self.check_mode:
            temporary = f".{self.name}.{secrets.token_hex(8)}"
            os.symlink(self.target, temporary, dir_fd=self.folder)
            os.replace(temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        return True, [_diff(self.path, f"{before}\n", f"{self.target}\n")]

    def _remove(self, gone: list[str]) -> tuple[bool, list[dict]]:
        if self.found is None:
            return False, []
        if self.if_empty:
            descriptor = os.open(self.name, FOLDER, dir_fd=self.folder)
            left = [name for name in os.listdir(descriptor) if f"{self.path}/{name}" not in gone]
            os.close(descriptor)
            if left:
                return False, []
        if not self.check_mode:
            if stat.S_ISDIR(self.found.st_mode):
                shutil.rmtree(self.name, dir_fd=self.folder)
            else:
                os.unlink(self.name, dir_fd=self.folder)
        return True, [_diff(self.path, "present\n", "absent\n")]


def apply(spec: dict, gone: list[str], check_mode: bool = False, trusted: bool = False) -> tuple[bool, list[dict]]:
    """Bring one file, folder or link to the wanted state; return as `Entry.apply` does."""
    folder = open_folder(os.path.dirname(spec["path"].rstrip("/")), trusted)
    try:
        return Entry(spec, folder, check_mode).apply(gone)
    finally:
        if folder is not None:
            os.close(folder)


def everything(specs: list[dict], trusted: bool) -> Iterator[dict]:
    """Yield the entries, and when they are made what removes the files in exclusive folders that no entry names."""
    yield from specs
    ours = {spec["path"].rstrip("/") for spec in specs}
    for spec in [spec for spec in specs if spec["exclusive"]]:
        path, folder = spec["path"].rstrip("/"), open_folder(spec["path"], trusted)
        if folder is not None:
            with os.scandir(folder) as found:
                names = sorted(entry.name for entry in found if not entry.is_dir(follow_symlinks=False))
            os.close(folder)
            others = [f"{path}/{name}" for name in names if f"{path}/{name}" not in ours]
            yield from (dict.fromkeys(spec) | {"path": other, "state": "absent"} for other in others)


def _diff(head: str, before: str, after: str) -> dict:
    return {"before_header": head, "after_header": head, "before": before, "after": after}


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
            "trusted_path": {"type": "bool", "default": False},
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
                    "exclusive": {"type": "bool", "default": False},
                    "if_empty": {"type": "bool", "default": False},
                    "target": {"type": "str"},
                    "content": {"type": "str"},
                    "secret_content": {"type": "str", "no_log": True},
                    "owner": {"type": "str"},
                    "group": {"type": "str"},
                    "mode": {"type": "str"},
                },
            },
        },
        supports_check_mode=True,
    )
    changed_paths, diffs = [], []
    try:
        for spec in everything(module.params["files"], module.params["trusted_path"]):
            changed, diff = apply(spec, changed_paths, module.check_mode, module.params["trusted_path"])
            if changed:
                changed_paths.append(spec["path"].rstrip("/"))
            diffs.extend(diff)
    except RefusedError as refused:
        module.fail_json(msg=str(refused), changed_paths=changed_paths)
    module.exit_json(changed=bool(changed_paths), changed_paths=changed_paths, diff=diffs)


if __name__ == "__main__":
    main()
