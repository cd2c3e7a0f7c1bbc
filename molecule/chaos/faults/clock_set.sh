# The clock that beat sees goes an hour ahead and back again; never the machine's.
echo +0 >/run/chaos-clock
fake_clock tutorial-beat FAKETIME_TIMESTAMP_FILE=/run/chaos-clock FAKETIME_NO_CACHE=1
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo +3600 >/run/chaos-clock
sleep 12
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo +0 >/run/chaos-clock
ended=$(now)
measure_until_real_clock tutorial-beat
exit
