# Beat is killed.
kill -KILL "$(main tutorial-beat)"
