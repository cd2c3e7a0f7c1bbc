"""Wait until no durable queue of the broker holds a message; prints those that still do, as a JSON list.

Standard input: JSON with seconds (how long to wait) and begun (whether an earlier run has found them empty and stopped
the app; then a broker that doesn't run is not asked). Other queues live no longer than a connection or the broker.
"""

import json
import subprocess
import sys
import time


def ask(*arguments):
    """Return what rabbitmqctl answers."""
    command = ["rabbitmqctl", "--quiet", "--timeout", "30", "--formatter", "json", *arguments]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


given = json.load(sys.stdin)
is_active = ["systemctl", "--quiet", "is-active", "rabbitmq-server"]
if given["begun"] and subprocess.run(is_active, check=False).returncode:
    print("[]")
    sys.exit()
deadline = time.monotonic() + given["seconds"]
while True:
    left = [
        f"{queue['name']} in {vhost['name']} ({queue['messages']})"
        for vhost in ask("list_vhosts", "name")
        for queue in ask("list_queues", "-p", vhost["name"], "name", "durable", "messages")
        if queue["durable"] and queue["messages"]
    ]
    if not left or time.monotonic() > deadline:
        break
    time.sleep(2)
print(json.dumps(left))
