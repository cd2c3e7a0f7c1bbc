# gunicorn's worker process is stopped: the main process replaces it.
kill -STOP "$(child tutorial-web)"
