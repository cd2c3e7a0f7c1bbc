# Beat is stopped: the watchdog replaces it.
kill -STOP "$(main tutorial-beat)"
