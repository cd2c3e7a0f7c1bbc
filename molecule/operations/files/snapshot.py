"""Print what makes up the host, a line each: files with owner, mode and content, accounts, units, packages."""

import grp
import hashlib
import os
import pwd
import stat
import subprocess
from pathlib import Path

ROOTS = ("/etc", "/usr/local", "/opt", "/var/lib", "/var/log", "/var/backups", "/var/spool", "/root", "/home", "/srv")
ROOTS += ("/run/systemd/system", "/run/systemd/transient", "/run/credentials")
# What changes on a host that is only looked at: the journal, APT's lists and Ansible's temporary files.
IGNORED = ("/var/lib/apt/", "/var/lib/dpkg/", "/var/log/", "/run/systemd/transient/", "/root/.cache/")


def name(lookup, number):
    try:
        return lookup(number)[0]
    except KeyError:
        return number


def describe(path):
    found = path.lstat()
    mode, content = stat.filemode(found.st_mode), ""
    if stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)
    return f"{path} {mode} {name(pwd.getpwuid, found.st_uid)}:{name(grp.getgrgid, found.st_gid)} {content}"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


lines = []
for root in ROOTS:
    for folder, folders, names in os.walk(root):
        for entry in (*folders, *names):
            path = Path(folder, entry)
            if not f"{path}/".startswith(IGNORED) or (path.parent == Path("/var/log")):
                try:
                    lines.append(describe(path))
                except FileNotFoundError:
                    continue
for unit in output("systemctl", "--no-legend", "--no-pager", "list-unit-files"):
    lines.append("unit file " + " ".join(unit.split()[:2]))
states = ("--all", "--state=failed,active")
for unit in output("systemctl", "--plain", "--no-legend", "--no-pager", *states, "list-units"):
    fields = unit.split()
    kind = fields[0].rpartition(".")[2]
    if kind in ("service", "socket", "timer", "target") and not fields[0].startswith(("user", "session")):
        lines.append("unit " + " ".join(fields[:3]))
lines += ["user " + ":".join(map(str, entry[::6])) for entry in pwd.getpwall()]
lines += [f"group {entry.gr_name}" for entry in grp.getgrall()]
lines += ["package " + line for line in output("dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n")]
print("\n".join(sorted(set(lines))))
