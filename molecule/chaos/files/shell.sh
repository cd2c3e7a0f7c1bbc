# What the faults are made with; bash.
set -euo pipefail

now() { date +%s.%N; }

# The main process of a unit.
main() { systemctl show --property=MainPID --value "$1"; }

# One of its child processes.
child() { pgrep --parent "$(main "$1")" --newest; }

# Stop all that writes to the database. Each unit is named, because systemctl waits for those alone.
stop_writers() {
    systemctl stop tutorial-feeder tutorial.target tutorial-web.socket tutorial-{beat,worker,web}.service
}

# Run Python in the project, as the app does.
app() { tutorial-manage shell --verbosity=0 --command "$1"; }

# Give a service another clock: the settings of libfaketime, which is Debian's. The machine keeps its own.
fake_clock() {
    local unit=$1 library
    shift
    library=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1)
    mkdir -p "/run/systemd/system/$unit.service.d"
    printf '[Service]\nEnvironment=LD_PRELOAD=%s %s\n' "$library" "$*" >"/run/systemd/system/$unit.service.d/chaos.conf"
    systemctl daemon-reload
    systemctl restart "$unit"
}

die() {
    echo "$*" >&2
    exit 1
}

# Lines of a unit's journal since a moment: each begins with its time in seconds since 1970.
lines() {
    journalctl --quiet --no-pager --output=short-unix --unit="$1" --since="@${2%.*}" | awk -v since="$2" '$1 > since'
}

# Print the first line that matches an extended regular expression. Reads to the end, because a writer whose reader ends early
# dies of SIGPIPE, and under pipefail that fails the pipeline.
first_match() { awk -v words="$1" '!found && $0 ~ words { found = 1; print } END { exit !found }'; }

# Count the lines that match; none is no failure.
count_matches() { awk -v words="$1" '$0 ~ words { count++ } END { print count + 0 }'; }

# Wait for a line in a unit's journal since a moment; print its time.
wait_for() {
    local unit=$1 since=$2 words=$3 line
    for _ in $(seq 400); do
        line=$(lines "$unit" "$since" | first_match "$words") && { echo "${line%% *}"; return; }
        sleep 0.3
    done
    die "Not seen in the journal of $unit within two minutes: $words"
}

cleared='Task tutorial[.]tasks[.]clear_tokens.* succeeded'

# Print when the fault began, when maintenance ran again, and the seconds between that and the end of its cause, which is
# now unless the fault has set it. The web process has to answer by then, too, and what the fault itself waited for be there.
measure() {
    : "${ended:=$(now)}"
    local seen
    seen=$(wait_for tutorial-worker "$ended" "$cleared")
    [[ $recovered < $seen ]] || seen=$recovered
    for _ in $(seq 100); do
        python3 -c 'import urllib.request as r; r.build_opener(r.ProxyHandler({})).open("http://127.0.0.1:8000/healthz", timeout=5)' 2>/dev/null && break
        seen=$(now)
    done
    systemctl --quiet is-active tutorial-{web,worker,beat} rabbitmq-server || die "A service is not active"
    awk -v began="$began" -v seen="$seen" -v ended="$ended" 'BEGIN { printf "%.3f %.3f %.1f\n", began, seen, seen - ended }'
}

# Measure, and give the service the machine's clock again. The restart that this takes is part of the fault.
measure_until_real_clock() {
    local seconds seen
    read -r _ _ seconds < <(measure)
    rm "/run/systemd/system/$1.service.d/chaos.conf"
    systemctl daemon-reload
    systemctl restart "$1"
    seen=$(wait_for tutorial-worker "$(now)" "$cleared")
    echo "$began $seen $seconds"
}

began=$(now)
ended=
recovered=
