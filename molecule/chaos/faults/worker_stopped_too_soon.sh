# The worker is stopped while a task runs longer than a stop may take: its message goes back to the queue, and it runs again.
mkdir -p /run/systemd/system/tutorial-worker.service.d
printf '[Service]\nTimeoutStopSec=3\n' >/run/systemd/system/tutorial-worker.service.d/chaos.conf
systemctl daemon-reload
app 'from chaos.tasks import takes; takes.delay(12)'
wait_for tutorial-worker "$began" 'Task chaos[.]tasks[.]takes.* received' >/dev/null
systemctl stop tutorial-worker
waiting=$(timeout 30 rabbitmqctl --quiet --no-table-headers list_queues --vhost tutorial messages | paste --serial --delimiters=+)
[ "$((waiting))" -ge 1 ] || die "The message is lost"
rm /run/systemd/system/tutorial-worker.service.d/chaos.conf
systemctl daemon-reload
systemctl start tutorial-worker
ended=$(now)
wait_for tutorial-worker "$began" 'Task chaos[.]tasks[.]takes.* succeeded' >/dev/null
