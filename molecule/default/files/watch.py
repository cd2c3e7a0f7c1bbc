"""Note every listening socket and every process's arguments, ten times a second, from before the first package on."""

import subprocess
import time
from pathlib import Path

folder = Path("/run/watch")
folder.mkdir(mode=0o700, exist_ok=True)
listeners, arguments = set(), set()
with (folder / "listeners").open("a", buffering=1) as sockets, (folder / "arguments").open("ab", buffering=0) as lines:
    while True:
        output = subprocess.run(["/usr/bin/ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
        for address in {line.split()[3] for line in output.splitlines()} - listeners:
            listeners.add(address)
            print(address, file=sockets)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if line and line not in arguments:
                arguments.add(line)
                lines.write(line + b"\n")
        time.sleep(0.1)
