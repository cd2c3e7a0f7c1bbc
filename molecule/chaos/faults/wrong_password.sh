# The broker's password is wrong: worker and beat fail to start instead of seeming to run, without flooding the journal.
cp --archive /etc/tutorial/current/credentials/CELERY_BROKER_URL /run/chaos-url
sed --in-place 's|@127|x@127|' /etc/tutorial/current/credentials/CELERY_BROKER_URL
systemctl restart tutorial-worker & worker=$!
systemctl restart tutorial-beat & beat=$!
! wait $worker || die "The worker seemed to start"
! wait $beat || die "Beat seemed to start"
[ "$(lines tutorial-worker "$began" | wc --lines)" -lt 200 ] || die "The worker floods the journal"
mv /run/chaos-url /etc/tutorial/current/credentials/CELERY_BROKER_URL
ended=$(now)
systemctl restart tutorial-worker tutorial-beat
