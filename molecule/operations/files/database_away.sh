# The database server is away for two minutes, and beat is started meanwhile. Nothing needs a hand, and the journal isn't flooded.
systemctl stop postgresql
sleep 60
systemctl restart --no-block tutorial-beat
sleep 60
systemctl start postgresql
ended=$(now)
measure
[ "$(lines tutorial-beat "$began" | wc --lines)" -lt 100 ] || die "Beat floods the journal: $(lines tutorial-beat "$began" | cut -c1-150)"
exit
