# The worker is stopped while a 20-second task runs: the task ends first.
app 'from chaos.tasks import takes; takes.delay(20)'
wait_for tutorial-worker "$began" 'Task chaos[.]tasks[.]takes.* received' >/dev/null
systemctl stop tutorial-worker
wait_for tutorial-worker "$began" 'Task chaos[.]tasks[.]takes.* succeeded' >/dev/null
[ "$(systemctl show --property=Result --value tutorial-worker)" = success ] || die "The stop was no success"
systemctl start tutorial-worker
