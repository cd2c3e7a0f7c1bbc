# A message names a task that isn't there: it is logged and dropped.
app 'from celery import current_app; current_app.send_task("not.there")'
wait_for tutorial-worker "$began" 'unregistered task of type' >/dev/null
