# The worker's main process is stopped: the watchdog replaces it.
kill -STOP "$(main tutorial-worker)"
