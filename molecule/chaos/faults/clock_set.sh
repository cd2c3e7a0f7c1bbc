# The clock that beat sees goes an hour ahead and back again; never the machine's.
library=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1)
mkdir -p /run/systemd/system/tutorial-beat.service.d
cat >/run/systemd/system/tutorial-beat.service.d/chaos.conf <<UNIT
[Service]
Environment=LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=/run/chaos-clock FAKETIME_NO_CACHE=1
UNIT
echo +0 >/run/chaos-clock
systemctl daemon-reload
systemctl restart tutorial-beat
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo +3600 >/run/chaos-clock
sleep 12
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo +0 >/run/chaos-clock
ended=$(now)
measure
rm /run/systemd/system/tutorial-beat.service.d/chaos.conf
systemctl daemon-reload
systemctl restart tutorial-beat
exit
