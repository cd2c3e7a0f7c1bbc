# The target is restarted: web, worker and beat follow.
declare -A before
for unit in web worker beat; do before[$unit]=$(main tutorial-$unit); done
systemctl restart tutorial.target
# systemctl waits for the target alone.
for unit in web worker beat; do
    for _ in $(seq 100); do
        pid=$(main tutorial-$unit)
        [[ $pid = 0 || $pid = "${before[$unit]}" ]] || break
        sleep 0.3
    done
    [[ $pid != 0 && $pid != "${before[$unit]}" ]] || die "$unit was not restarted"
done
