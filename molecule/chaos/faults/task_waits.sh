# A chore is sent that is to run in an hour: it is refused, instead of holding up the others until then.
app 'from tutorial.tasks import clear_sessions; clear_sessions.apply_async(countdown=3600)'
wait_for tutorial-worker "$began" 'clear_sessions is refused: it asks to wait' >/dev/null
