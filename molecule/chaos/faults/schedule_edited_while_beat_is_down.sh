# The interval is edited while beat is down: two seconds, and back.
edit='
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=%s, period="seconds")
task = PeriodicTask.objects.get(name="clear stale tokens")
task.interval = every
task.save()'
systemctl stop tutorial-beat
# shellcheck disable=SC2059
app "$(printf "$edit" 2)"
systemctl start tutorial-beat
ended=$(now)
wait_for tutorial-worker "$ended" "$cleared" >/dev/null
sleep 5
runs=$(lines tutorial-worker "$ended" | count_matches "$cleared")
[ "$runs" -ge 3 ] || die "Ran $runs times after five seconds"
measure
# shellcheck disable=SC2059
app "$(printf "$edit" 10)"
exit
