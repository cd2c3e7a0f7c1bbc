# The worker's main process is killed.
kill -KILL "$(main tutorial-worker)"
