# The file system of the database is full for 20 seconds. For that it is moved to a small one.
state=/var/lib/tutorial copy=/run/chaos-copy
stop_writers
cp --archive $state $copy
mount -t tmpfs -o size=8M,mode=0700 tmpfs $state
chown --reference=$copy $state
cp --archive $copy/. $state/
rm -r $copy
systemctl start tutorial-feeder tutorial.target
dd if=/dev/zero of=$state/filler bs=4k status=none 2>/dev/null || true
sleep 20
rm $state/filler
ended=$(now)
measured=$(measure)
stop_writers
cp --archive $state $copy
umount $state
# A write-ahead log that is older than its database would be played into it.
find $state -mindepth 1 -delete
cp --archive $copy/. $state/
rm -r $copy
systemctl start tutorial-feeder tutorial.target
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo "$measured"
exit
