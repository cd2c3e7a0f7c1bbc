# A second beat is started by hand: it is on standby, and takes over when the first one stops.
sed 's/^SyslogIdentifier=.*/SyslogIdentifier=tutorial-beat2/; s/^RuntimeDirectory=.*/&2/' /etc/systemd/system/tutorial-beat.service \
    >/run/systemd/system/tutorial-beat2.service
systemctl daemon-reload
systemctl start tutorial-beat2
began=$(now)
sleep 25
runs=$(lines tutorial-worker "$began" | count_matches "$cleared")
[ "$runs" -le 3 ] || die "Two beats sent $runs times in 25 s"
systemctl stop tutorial-beat
ended=$(now)
wait_for tutorial-beat2 "$ended" "Sending due task clear stale tokens" >/dev/null
wait_for tutorial-worker "$ended" "$cleared" >/dev/null
systemctl start tutorial-beat
measure
systemctl stop tutorial-beat2
rm /run/systemd/system/tutorial-beat2.service
systemctl daemon-reload
exit
