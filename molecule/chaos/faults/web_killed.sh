# gunicorn's main process is killed.
kill -KILL "$(main tutorial-web)"
