# The process that runs the tasks is killed.
kill -KILL "$(child tutorial-worker)"
