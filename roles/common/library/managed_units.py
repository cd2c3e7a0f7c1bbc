#!/usr/bin/python
"""Ansible module: enable and start systemd units, and restart those that run with outdated files."""

from __future__ import annotations

import glob
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: managed_units
short_description: Enable and start systemd units, and restart those that run with outdated files
description:
  - A service whose environment has C(RUNS_WITH), a digest of all that it runs with, is restarted when its main process
    has another one. No clock is asked, and a run that was interrupted needs no memory.
  - Other units are restarted when one of their files is newer than their main process.
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
          - What it reads when it starts and when it is reloaded. If only these are newer, it is reloaded.
            When that was is noted in C(/run/managed-units).
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
  description: Units that were reloaded, each with the file that was newer.
  returned: always
  type: dict
"""

RELOADS = Path("/run/managed-units")

PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,Environment,"
    "ExecMainStartTimestamp,ActiveEnterTimestamp"
)


def read_units(module: AnsibleModule, names: list[str]) -> dict[str, dict[str, str]]:
    """Return systemd's properties of each unit by its name."""
    _, out, _ = module.run_command(
        ["systemctl", "show", "--timestamp=us+utc", f"--property={PROPERTIES}", *names], check_rc=True
    )
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
    """Return the start of the unit's main process (or of the unit, if it has none) in seconds since 1970."""
    text = unit.get("ExecMainStartTimestamp") or unit["ActiveEnterTimestamp"]
    if not text:
        return None
    moment = datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S.%f UTC")
    return moment.replace(tzinfo=UTC).timestamp()


def newer_file(patterns: list[str], moment: float) -> str | None:
    """Return the first file that was changed after the moment."""
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            if os.lstat(path).st_mtime > moment:
                return path
    return None


def reloaded_at(name: str) -> float:
    """Return when the unit was last reloaded by this module, in seconds since 1970."""
    try:
        return (RELOADS / name).stat().st_mtime
    except FileNotFoundError:
        return 0


def reload(module: AnsibleModule, name: str) -> None:
    """Reload the unit and note when; a file that is changed meanwhile counts as newer."""
    begin = time.time()
    systemctl(module, "reload", name)
    RELOADS.mkdir(exist_ok=True)
    (RELOADS / name).touch()
    os.utime(RELOADS / name, (begin, begin))


def systemctl(module: AnsibleModule, verb: str, *names: str) -> None:
    """Run a verb; fail with the journal of the units that are not up."""
    code, _, err = module.run_command(["systemctl", verb, *names])
    if code == 0:
        return
    report = []
    for name in (name for name in names if not name.startswith("-")):
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
    restart, reloads = {}, {}
    for name, unit in wanted.items():
        if name not in start and runs_with_something_else(found[name]):
            restart[name] = "it runs with something else"
            continue
        moment = started_at(found[name])
        if name in start or moment is None or not unit["files"] + unit["reload_files"]:
            continue
        if file := newer_file(unit["files"], moment):
            restart[name] = file
        elif file := newer_file(unit["reload_files"], max(moment, reloaded_at(name))):
            reloads[name] = file

    outdated = any(unit["NeedDaemonReload"] == "yes" for unit in found.values())
    changed = bool(stop or enable or start or restart or reloads)
    if not module.check_mode:
        if stop:
            systemctl(module, "disable", "--now", "--quiet", *stop)
        if enable or start or restart or outdated:
            systemctl(module, "daemon-reload")
        if enable:
            systemctl(module, "enable", "--quiet", *enable)
        for name in wanted:
            if name in restart:
                systemctl(module, "restart", name)
            elif name in start:
                systemctl(module, "start", name)
            elif name in reloads:
                reload(module, name)
    module.exit_json(changed=changed, stopped=stop, enabled=enable, started=start, restarted=restart, reloaded=reloads)


if __name__ == "__main__":
    main()
