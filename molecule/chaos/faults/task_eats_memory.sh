# A task takes 300 MiB and is killed, as the kernel does.
worker=$(main tutorial-worker)
app 'from chaos.tasks import eats_memory; eats_memory.delay(300)'
wait_for tutorial-worker "$began" 'WorkerLostError' >/dev/null
[ "$(main tutorial-worker)" = "$worker" ] || die "The whole worker was restarted"
