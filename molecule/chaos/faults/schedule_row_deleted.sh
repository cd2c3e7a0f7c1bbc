# The schedule's row is deleted, and the fixture loaded again.
app 'from django_celery_beat.models import PeriodicTask as P; P.objects.get(name="clear stale tokens").delete()'
sleep 8
tutorial-manage load_periodic_tasks /etc/tutorial/periodic_tasks.json
