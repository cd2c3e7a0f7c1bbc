# The target is restarted: web, worker and beat follow.
before=$(main tutorial-web)$(main tutorial-worker)$(main tutorial-beat)
systemctl restart tutorial.target
for unit in web worker beat; do
    [[ $before != *$(main tutorial-$unit)* ]] || die "$unit was not restarted"
done
