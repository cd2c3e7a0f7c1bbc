# Rows that beat can't read or send come into the schedule, and it starts with them: it skips them alone, and runs what is corrected.
# Stopped before, since the beat of before might see them, too, and say so.
systemctl stop tutorial-beat
app '
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=2, period="seconds")
for name, fields in {"null": {"headers": "null"}, "exchange": {"exchange": "nowhere", "routing_key": "x"}, "queue": {"queue": "amq.no"},
                     "copies": {"headers": "{\"CC\": \"x\"}"}, "infinite": {"headers": "{\"a\": Infinity}"}}.items():
    PeriodicTask.objects.create(name=f"unreadable {name}", task="tutorial.tasks.clear_sessions", interval=every, **fields)'
systemctl start tutorial-beat
for name in null exchange queue copies infinite; do
    wait_for tutorial-beat "$began" "Row 'unreadable $name' of the schedule is skipped" >/dev/null
done
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
corrected=$(now)
app '
from django_celery_beat.models import PeriodicTask, PeriodicTasks
PeriodicTask.objects.filter(name__startswith="unreadable ").update(headers="{}", exchange=None, routing_key=None, queue=None)
PeriodicTasks.update_changed()'
for name in null exchange queue copies infinite; do
    wait_for tutorial-beat "$corrected" "Sending due task unreadable $name " >/dev/null
done
logged=$(lines tutorial-beat "$began" | grep --count "of the schedule is skipped") || true
[ "$logged" -eq 5 ] || die "Logged $logged times, not once for each row"
app 'from django_celery_beat.models import PeriodicTask; PeriodicTask.objects.filter(name__startswith="unreadable ").delete()'
