# Beat is killed and finds a stale pid file and a broken schedule file of another scheduler where it runs.
kill -KILL "$(main tutorial-beat)"
echo 1 >/var/lib/tutorial/celerybeat.pid
echo broken >/var/lib/tutorial/celerybeat-schedule
