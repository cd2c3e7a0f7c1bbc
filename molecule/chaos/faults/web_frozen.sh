# gunicorn's main process is stopped: the watchdog replaces it. Its worker process answers meanwhile.
web=$(main tutorial-web)
kill -STOP "$web"
ended=$began
for _ in $(seq 60); do
    [ "$(main tutorial-web)" != "$web" ] && break
    sleep 1
done
[ "$(main tutorial-web)" != "$web" ] || die "The watchdog did nothing"
recovered=$(now)
