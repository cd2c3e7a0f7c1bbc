# Another process holds the lock for writing for 30 seconds.
setpriv --reuid=tutorial --regid=tutorial --clear-groups python3 - <<'PYTHON'
import sqlite3, time
database = sqlite3.connect("/var/lib/tutorial/db.sqlite3", isolation_level=None, timeout=30)
database.execute("BEGIN IMMEDIATE")
time.sleep(30)
database.execute("ROLLBACK")
PYTHON
