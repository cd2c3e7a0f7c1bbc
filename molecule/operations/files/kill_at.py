"""Run a command and kill it, with all that it started, once it prints a text. Arguments: the text, the command."""

import os
import signal
import subprocess
import sys

text, *command = sys.argv[1:]
with subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
) as process:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            os.killpg(process.pid, signal.SIGKILL)
            sys.exit()
sys.exit(f"It ended without printing {text!r}:\n{''.join(lines)}")
