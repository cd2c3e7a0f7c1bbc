# A task ignores its soft time limit of 5 seconds: the hard one of 10 ends it.
app 'from chaos.tasks import never_ends; never_ends.apply_async(soft_time_limit=5, time_limit=10)'
wait_for tutorial-worker "$began" 'Hard time limit .* exceeded for chaos[.]tasks[.]never_ends' >/dev/null
