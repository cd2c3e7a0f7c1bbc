# The clock that beat sees goes an hour ahead and back again; never the machine's.
echo +0 >/run/chaos-clock
fake_clock tutorial-beat FAKETIME_TIMESTAMP_FILE=/run/chaos-clock FAKETIME_NO_CACHE=1
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo +3600 >/run/chaos-clock
sleep 12
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo +0 >/run/chaos-clock
ended=$(now)
read -r began _ seconds < <(measure)
# The restart that this takes is part of the fault.
real_clock tutorial-beat
seen=$(wait_for tutorial-worker "$(now)" "$cleared")
echo "$began $seen $seconds"
exit
