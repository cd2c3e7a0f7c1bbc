# The journal's file system is full for 15 seconds.
folder=/var/log/journal
mount -t tmpfs -o size=64k tmpfs $folder
dd if=/dev/zero of=$folder/filler bs=4k status=none 2>/dev/null || true
journalctl --rotate || true
sleep 15
umount $folder
journalctl --rotate
