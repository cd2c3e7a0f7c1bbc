"""Reverse migrations that another release doesn't know; run by manage.py shell. Prints one JSON line.

Standard input: JSON. Without `unknown` the answer tells which applied migrations this release doesn't know
(`unknown`), the newest ones of each app that it knows (`targets`), and which ones it misses (`missing`). That
answer, given to the release that knows them, reverses them; with `plan` it only tells whether that can be done.
"""

import fcntl
import json
import os
import sys

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

given = json.load(sys.stdin)
# As prepare_database.py does: what a killed run began is finished first.
fcntl.flock(os.open(f"{os.environ['STATE_DIRECTORY']}/.migrating", os.O_CREAT | os.O_WRONLY, 0o600), fcntl.LOCK_EX)
executor = MigrationExecutor(connection)
loader = executor.loader
applied = set(executor.recorder.applied_migrations())

if "unknown" not in given:
    unknown = sorted(applied - set(loader.disk_migrations))
    targets = {app: [name for leaf_app, name in loader.graph.leaf_nodes(app)] for app, _ in unknown}
    missing = [str(migration) for migration, _ in executor.migration_plan(loader.graph.leaf_nodes())]
    print(json.dumps({"unknown": unknown, "targets": targets, "missing": missing}))
    sys.exit()

# What none of the two releases knows is from an app that was taken out long ago.
unknown = {(app, name) for app, name in given["unknown"]} & applied & set(loader.disk_migrations)
apps = {app for app, _ in unknown}
targets = [(app, name) for app in sorted(apps) for name in given["targets"].get(app) or [None]]
plan = executor.migration_plan(targets)
wanted = [migration for migration, backwards in plan if backwards]
for migration in wanted:
    if (migration.app_label, migration.name) not in unknown:
        sys.exit(f"{migration} would have to be reversed too, but the other release needs it.")
    if not all(operation.reversible for operation in migration.operations):
        sys.exit(f"{migration} can't be reversed.")
if not given.get("plan"):
    from django.core.management import call_command

    # By the command, which tells apps when it has migrated.
    for app, name in targets:
        call_command("migrate", app, name or "zero", verbosity=0, interactive=False)
print(json.dumps({"reversed": [str(migration) for migration in wanted]}))
