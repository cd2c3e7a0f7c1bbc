"""Take the arguments of manage.py, which may be secrets, out of the process's command line.

journald adds that to each line that the process sends it.
"""

import sys

with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
    begin, end = map(int, file.read().rpartition(")")[2].split()[45:47])
with open("/proc/self/mem", "r+b", buffering=0) as memory:
    memory.seek(begin)
    memory.write(f"manage.py {''.join(sys.argv[1:2])}".encode()[: end - begin - 1].ljust(end - begin, b"\0"))
