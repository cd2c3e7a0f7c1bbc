# A second worker, with three processes, is started by hand. The chores' queue is still worked on task by task: by the
# first worker, and by the second one as soon as the first is killed.
sed -e 's/^SyslogIdentifier=.*/SyslogIdentifier=tutorial-worker2/' -e 's/^RuntimeDirectory=.*/&2/' -e 's/--concurrency.*/--concurrency 3 --hostname second@%%h/' \
    /etc/systemd/system/tutorial-worker.service >/run/systemd/system/tutorial-worker2.service
systemctl daemon-reload
systemctl start tutorial-worker2
app 'from chaos.tasks import takes; [takes.apply_async([2], queue="maintenance") for _ in range(6)]'
takes='Task chaos[.]tasks[.]takes.* succeeded'
wait_for tutorial-worker "$began" "$takes" >/dev/null
kill -KILL "$(main tutorial-worker)"
ends() { for unit in tutorial-worker tutorial-worker2; do lines "$unit" "$began" | awk -v words="$takes" '$0 ~ words'; done | sort; }
for _ in $(seq 100); do
    [ "$(ends | wc --lines)" -lt 6 ] || break
    sleep 0.3
done
[ "$(ends | wc --lines)" = 6 ] || die "Not every task has ended: $(ends)"
# The journal may take up a line some milliseconds late.
ends | awk '$1 - before < 1.5 { exit 1 } { before = $1 }' || die "Two tasks of 2 s beside one another: $(ends)"
lines tutorial-worker2 "$began" | first_match "$takes" >/dev/null || die "The second worker got nothing"
systemctl stop tutorial-worker2
rm /run/systemd/system/tutorial-worker2.service
systemctl daemon-reload
