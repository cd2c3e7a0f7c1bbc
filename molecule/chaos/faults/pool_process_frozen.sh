# The process that runs the tasks is stopped: the main process replaces it.
kill -STOP "$(child tutorial-worker)"
