# The clock that the worker sees is 50 seconds ahead of beat's: messages that live for nine seconds don't count as expired.
library=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1)
mkdir -p /run/systemd/system/tutorial-worker.service.d
cat >/run/systemd/system/tutorial-worker.service.d/chaos.conf <<UNIT
[Service]
Environment=LD_PRELOAD=$library FAKETIME=+50s FAKETIME_DONT_FAKE_MONOTONIC=1
UNIT
systemctl daemon-reload
systemctl restart tutorial-worker
ended=$(now)
measure
rm /run/systemd/system/tutorial-worker.service.d/chaos.conf
systemctl daemon-reload
systemctl restart tutorial-worker
exit
