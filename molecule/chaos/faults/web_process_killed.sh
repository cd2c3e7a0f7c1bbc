# gunicorn's worker process is killed.
kill -KILL "$(child tutorial-web)"
