"""Print as JSON which cluster has a port, what it listens on and who set that.

Arguments: the port, the app's database and its role.
"""

import json
import subprocess
import sys
from pathlib import Path

QUERY = """
SELECT json_build_object(
    'listens', setting, 'source', source, 'file', coalesce(sourcefile || ':' || sourceline, ''),
    'databases', (SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database
        WHERE NOT datistemplate AND datname NOT IN ('postgres', :'database')),
    'roles', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles
        WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', :'role')))
FROM pg_settings WHERE name = 'listen_addresses'
"""


def output(*command: str, text: str = "") -> str:
    """Return what a command prints; nothing if it fails."""
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd="/").stdout


port, database, role = sys.argv[1:]
clusters = [line.split() for line in output("pg_lsclusters", "--no-header").splitlines()]
answer: dict[str, object] = {}
for version, name in [cluster[:2] for cluster in clusters if cluster[2] == port][:1]:
    folder = f"/etc/postgresql/{version}/{name}"
    # Root's environment may name another server, user or cluster.
    psql = ["runuser", "--user=postgres", "--", "env", "--ignore-environment", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"]
    psql += ["psql", f"--port={port}", "--no-psqlrc", "--tuples-only", "--no-align"]
    said = output(*psql, f"--set=database={database}", f"--set=role={role}", text=QUERY)
    dropin = f"/etc/systemd/system/postgresql@{version}-{name}.service.d/10-address.conf"
    # Earlier versions wrote it there.
    old = [path for path in (f"{folder}/conf.d/10-address.conf",) if Path(path).exists()]
    answer = {"unit": f"postgresql@{version}-{name}.service", "folder": folder, "dropin": dropin, "old_files": old}
    answer |= {"ours": Path(dropin).exists() or bool(old), "runs": bool(said.strip())}
    answer |= json.loads(said or "{}")
print(json.dumps(answer))
