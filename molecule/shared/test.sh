#!/bin/bash
# Runs one scenario's whole test: `test.sh SCENARIO`. A failure shows the hosts' journals before the hosts are removed.
set -euo pipefail

scenario=$1
log=.hosts/$scenario.log
mkdir -p .hosts
export PYTHONUNBUFFERED=1

step() { molecule --base-config .config/molecule/config.yml "$1" --scenario-name "$scenario" "${@:2}"; }

# Hosts are removed here, since by `--destroy never` Molecule leaves out the first removal too.
step destroy
passed=true
step test --destroy never 2>&1 | tee "$log" || passed=false

# Molecule skips a step without a playbook silently and with exit code 0: only its recap tells.
if grep --quiet 'missing=[^0-9]*[1-9]' "$log"; then
    echo "Scenario $scenario skipped a step that has no playbook." >&2
    passed=false
fi

$passed || ansible-playbook --inventory "molecule/$scenario/inventory/hosts.yml" molecule/shared/journals.yml || true
step destroy
$passed
