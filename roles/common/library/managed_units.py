#!/usr/bin/python
"""Ansible module: enable and start systemd units, and restart those that run with outdated files."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: managed_units
short_description: Enable and start systemd units, and restart those that run with outdated files
description:
  - A service whose environment has C(RUNS_WITH), a digest of all that it runs with, is restarted when its main process
    has another one. No clock is asked, and a run that was interrupted needs no memory.
  - Other units are restarted when their files have other content than at the last call, which is noted in
    C(/run/managed-units) together with systemd's invocation of the unit. Where somebody else has started it since,
    only the time of the files is left to tell, compared with the start.
  - When a unit doesn't come up, the failure carries the last lines of its journal.
options:
  units:
    description: The units, in the order in which they are started.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name with its suffix.
        type: str
        required: true
      state:
        description: V(running) also enables it for the next boot, V(stopped) also disables it.
        type: str
        choices: [running, stopped]
        default: running
      files:
        description: What the unit reads when it starts; shell patterns are allowed, a symbolic link counts itself.
        type: list
        elements: str
        default: []
      reload_files:
        description:
          - What it reads when it starts and when it is reloaded. If only these are others, it is reloaded.
        type: list
        elements: str
        default: []
author: the maintainers of this project
"""

EXAMPLES = r"""
- name: Run the shop with the settings on disk
  managed_units:
    units:
      - {name: shop-web.service, files: [/etc/systemd/system/shop-web.service, /etc/shop/settings]}
"""

RETURN = r"""
enabled:
  description: Units that were enabled.
  returned: always
  type: list
  elements: str
stopped:
  description: Units that were stopped and disabled.
  returned: always
  type: list
  elements: str
started:
  description: Units that were started.
  returned: always
  type: list
  elements: str
restarted:
  description: Units that were restarted, each with the reason.
  returned: always
  type: dict
reloaded:
  description: Units that were reloaded, each with the reason.
  returned: always
  type: dict
"""

NOTES = Path("/run/managed-units")

PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,Environment,InvocationID,"
    "ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic"
)


def read_units(module: AnsibleModule, names: list[str]) -> dict[str, dict[str, str]]:
    """Return systemd's properties of each unit by its name."""
    _, out, _ = module.run_command(["systemctl", f"--property={PROPERTIES}", "show", *names], check_rc=True)
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in out.strip().split("\n\n")]
    return dict(zip(names, blocks, strict=True))


def runs_with_something_else(unit: dict[str, str], credentials: Path = Path("/run/credentials")) -> bool:
    """Return whether the main process has another RUNS_WITH than the one with which systemd would start it."""
    wanted = re.findall(r"(?:^| )RUNS_WITH=(\S*)", unit.get("Environment", ""))
    if unit.get("MainPID", "0") == "0":
        return False
    try:
        environment = Path(f"/proc/{unit['MainPID']}/environ").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False
    found = [entry.decode() for entry in environment if entry.startswith(b"RUNS_WITH=")]
    if not any(entry.startswith(b"INVOCATION_ID=") for entry in environment):
        # A process that gave itself a title has overwritten its environment; its credentials are those of its start.
        path = credentials / unit["Id"] / "RUNS_WITH"
        found = [f"RUNS_WITH={path.read_text()}"] if path.exists() else []
    return found != [f"RUNS_WITH={value}" for value in wanted[-1:]]


def started_at(unit: dict[str, str]) -> float | None:
    """Return the start of the unit's main process (or of the unit, if it has none) in seconds since 1970.

    It is what today's clock calls that moment: at boot it may have been wrong.
    """
    names = ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    microseconds = next((int(unit[name]) for name in names if int(unit.get(name) or 0)), 0)
    return time.time() - time.monotonic() + microseconds / 1e6 if microseconds else None


def newer_file(patterns: list[str], moment: float) -> str | None:
    """Return the first file that was changed after the moment."""
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            if os.lstat(path).st_mtime > moment:
                return path
    return None


def digest(patterns: list[str]) -> str:
    """Return one for the names and contents of all files that match."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in glob.glob(pattern)}):
        content = os.readlink(path).encode() if os.path.islink(path) else Path(path).read_bytes()
        total.update(f"{path} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def read_note(name: str, invocation: str) -> dict[str, str]:
    """Return the digests with which the unit is known to run, or nothing if it was started by somebody else since."""
    try:
        note: dict[str, str] = json.loads((NOTES / name).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return note if note["invocation"] == invocation else {}


def write_note(name: str, note: dict[str, str]) -> None:
    """Note the digests; a note is never half written."""
    NOTES.mkdir(exist_ok=True)
    # A digest of a file with secrets is nobody's to try guesses on.
    NOTES.chmod(0o700)
    new = NOTES / f".{name}"
    new.write_text(json.dumps(note))
    new.replace(NOTES / name)


def outdated(patterns: list[str], seen: str, noted: str | None, moment: float | None) -> str | None:
    """Return why the unit doesn't run with these files, if so."""
    if noted is not None:
        return "a file has changed" if noted != seen else None
    return newer_file(patterns, moment) if moment is not None else None


def systemctl(module: AnsibleModule, verb: str, *names: str, options: tuple[str, ...] = ()) -> None:
    """Run a verb; fail with the journal of the units that are not up."""
    code, _, err = module.run_command(["systemctl", *options, verb, *names])
    if code == 0:
        return
    report = []
    for name in names:
        _, lines, _ = module.run_command(["journalctl", "--no-pager", "--output=cat", "--lines=25", f"--unit={name}"])
        report += [f"Last lines of {name}:", *map(printable, lines.split("\n"))]
    module.fail_json(msg=f"systemctl {verb} {' '.join(names)} failed: {err.strip()}\n" + "\n".join(report))


def printable(line: str) -> str:
    """Return a line of the journal without colours, with ? for what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in re.sub(r"\x1b\[[0-9;]*m", "", line))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["running", "stopped"], "default": "running"},
                    "files": {"type": "list", "elements": "str", "default": []},
                    "reload_files": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        supports_check_mode=True,
    )
    units = {unit["name"]: unit for unit in module.params["units"]}
    found = read_units(module, list(units))
    # What systemd would start a unit with is known when it has read its files.
    if not module.check_mode and any(unit["NeedDaemonReload"] == "yes" for unit in found.values()):
        systemctl(module, "daemon-reload")
        found = read_units(module, list(units))
    wanted = {name: unit for name, unit in units.items() if unit["state"] == "running"}

    stop = [
        name
        for name in units
        if name not in wanted
        and (found[name]["ActiveState"] not in ("inactive", "failed") or found[name]["UnitFileState"] == "enabled")
    ]
    enable = [name for name in wanted if found[name]["UnitFileState"] != "enabled"]
    start = [
        name
        for name in wanted
        # One that waits for its next attempt is started now.
        if found[name]["ActiveState"] not in ("active", "activating", "reloading")
        or found[name]["SubState"] == "auto-restart"
    ]
    restart, reloads, notes = {}, {}, {}
    for name, unit in wanted.items():
        kinds = {kind: unit[kind] for kind in ("files", "reload_files") if unit[kind]}
        if kinds:
            notes[name] = {kind: digest(patterns) for kind, patterns in kinds.items()}
        if name in start:
            continue
        if runs_with_something_else(found[name]):
            restart[name] = "it runs with something else"
            continue
        noted, moment = read_note(name, found[name]["InvocationID"]), started_at(found[name])
        for kind, patterns in kinds.items():
            reason = outdated(patterns, notes[name][kind], noted.get(kind), moment)
            if reason and name not in restart:
                (restart if kind == "files" else reloads)[name] = reason

    changed = bool(stop or enable or start or restart or reloads)
    if not module.check_mode:
        if stop:
            systemctl(module, "disable", *stop, options=("--now", "--quiet"))
        if enable or start or restart:
            systemctl(module, "daemon-reload")
        if enable:
            systemctl(module, "enable", *enable, options=("--quiet",))
        for name in wanted:
            if name in restart:
                systemctl(module, "restart", name)
            elif name in start:
                systemctl(module, "start", name)
            elif name in reloads:
                systemctl(module, "reload", name)
        for name in units.keys() - wanted.keys():
            (NOTES / name).unlink(missing_ok=True)
        if notes:
            for name, unit in read_units(module, list(notes)).items():
                write_note(name, {"invocation": unit["InvocationID"], **notes[name]})
    module.exit_json(changed=changed, stopped=stop, enabled=enable, started=start, restarted=restart, reloaded=reloads)


if __name__ == "__main__":
    main()
