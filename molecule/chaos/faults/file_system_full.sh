# The file system of the database is full for 20 seconds. For that it is moved to a small one.
state=/var/lib/tutorial small=/run/chaos-small
systemctl stop tutorial-feeder tutorial.target
mkdir -p $small
mount -t tmpfs -o size=8M,mode=0700 tmpfs $small
cp --archive $state/. $small/
chown --reference=$state $small
mount --move $small $state 2>/dev/null || mount --bind $small $state
systemctl start tutorial-feeder tutorial.target
dd if=/dev/zero of=$state/filler bs=4k status=none 2>/dev/null || true
sleep 20
rm $state/filler
ended=$(now)
wait_for tutorial-worker "$ended" "$cleared" >/dev/null
recovered=$(measure)
systemctl stop tutorial-feeder tutorial.target
cp --archive $state/. /run/chaos-copy
umount $state
# A write-ahead log that is older than its database would be played into it.
find $state -mindepth 1 -delete
cp --archive /run/chaos-copy/. $state/
rm -r /run/chaos-copy
systemctl start tutorial-feeder tutorial.target
wait_for tutorial-worker "$(now)" "$cleared" >/dev/null
echo "$recovered"
exit
