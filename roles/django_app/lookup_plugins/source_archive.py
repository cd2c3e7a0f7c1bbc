"""Ansible lookup: identify a source folder by its content and pack it, on the controller."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import os
import tarfile
import tempfile
import time
from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: source_archive
short_description: Identify a source folder by its content and pack it
description:
  - The id depends on names, contents and execute bits alone, so that it is the same on every machine and in every
    checkout. The archive is written once per id; those that nobody has asked for in a day are removed.
  - Links are followed, so that what they lead to is on the host as well.
  - What a C(.gitattributes) at the top of the folder marks C(export-ignore) stays out, as it does in C(git archive).
options:
  _terms:
    description: The folder to pack, one.
    required: true
  cache:
    description: Folder for the archive, made if missing.
    type: path
    default: ""
  check:
    description: Whether to return a list of sentences that say what can't be packed, in place of packing.
    type: bool
    default: false
author: the maintainers of this project
"""

RETURN = r"""
_raw:
  description: A mapping with C(id), the SHA-256 of what is in the folder, and C(path), the archive.
  type: list
  elements: dict
"""

# What a checkout gathers while one works in it.
LEFT_OUT_FOLDERS = (".*", "__pycache__", "venv", "node_modules", "staticfiles")
LEFT_OUT_FILES = (".*", "*.pyc", "*.sqlite3", "*.sqlite3-*")


def source_files(source: str) -> list[str]:
    """Return the relative paths that belong to the source, sorted."""
    ignored = export_ignored(source)
    found = []
    for folder, subfolders, names in os.walk(source, followlinks=True):
        top = os.path.relpath(folder, source)

        def left_out(name: str, always: tuple[str, ...], top: str = top) -> bool:
            path = os.path.normpath(os.path.join(top, name))
            return _matches(name, always) or _matches(name, ignored) or _matches(f"/{path}", ignored)

        subfolders[:] = [name for name in subfolders if not left_out(name, LEFT_OUT_FOLDERS)]
        # A link to a folder above it has no end.
        loops = [name for name in subfolders if _is_above(os.path.join(folder, name), folder)]
        if loops:
            raise ValueError(f"{os.path.join(folder, loops[0])} leads to a folder that holds it; remove the link.")
        found += [os.path.normpath(os.path.join(top, name)) for name in names if not left_out(name, LEFT_OUT_FILES)]
    return sorted(found)


def _is_above(link: str, folder: str) -> bool:
    target = os.path.realpath(link)
    return os.path.islink(link) and os.path.join(os.path.realpath(folder), "").startswith(os.path.join(target, ""))


def source_problems(source: str) -> list[str]:
    """Return one sentence for the first link that leads nowhere or to itself, or for a file that can't be read."""
    try:
        for relative in source_files(source):
            path = os.path.join(source, relative)
            if not os.path.exists(path):
                return [f"{path} is a link to {os.readlink(path)}, which isn't there; correct or remove it."]
            if not os.path.isfile(path):
                return [f"{path} is no file; remove it, or leave it out by export-ignore in .gitattributes."]
            if not os.access(path, os.R_OK):
                return [f"{path} can't be read; change its mode, or leave it out by export-ignore in .gitattributes."]
    except ValueError as error:
        return [str(error)]
    return []


def export_ignored(source: str) -> tuple[str, ...]:
    """Return the patterns that git would leave out of an archive; one with a slash is of the whole path, led by one."""
    try:
        with open(os.path.join(source, ".gitattributes"), encoding="utf-8") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:
        return ()
    patterns = [pattern.rstrip("/") for pattern, *attributes in filter(None, lines) if "export-ignore" in attributes]
    return tuple(f"/{pattern.lstrip('/')}" if "/" in pattern else pattern for pattern in patterns)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def source_id(source: str, files: list[str]) -> str:
    """Return the SHA-256 of names, execute bits and contents."""
    digest = hashlib.sha256()
    for relative in files:
        path = os.path.join(source, relative)
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        digest.update(f"{relative}\0{os.access(path, os.X_OK)}\0{content}\n".encode())
    return digest.hexdigest()


def pack(source: str, files: list[str], archive: str) -> None:
    """Write the archive by a rename, so that hosts handled in parallel never see half of it."""
    folder = os.path.dirname(archive)
    descriptor, temporary = tempfile.mkstemp(dir=folder)
    with (
        os.fdopen(descriptor, "wb") as raw,
        gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", dereference=True) as tar,
    ):
        for relative in files:
            tar.add(os.path.join(source, relative), relative, filter=_anonymous)
    os.replace(temporary, archive)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # Others deploy other sources from the same cache, at the same time.
        if name.endswith(".tar.gz") and time.time() - os.stat(path).st_mtime > 24 * 3600:
            os.unlink(path)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[Any]:
        """Return id and path of the archive, or with check=true why there is none."""
        self.set_options(var_options=variables, direct=kwargs)
        source, cache = terms[0], self.get_option("cache")
        if self.get_option("check"):
            return source_problems(source)
        files = source_files(source)
        identity = source_id(source, files)
        archive = os.path.join(cache, f"{identity}.tar.gz")
        if not os.path.exists(archive):
            os.makedirs(cache, mode=0o700, exist_ok=True)
            pack(source, files, archive)
        os.utime(archive)
        return [{"id": identity, "path": archive}]
