"""Kill runs of site.yml on one host at many points, by SIGKILL and by power cuts; see what the next run makes of it.

Standard input: JSON with host, inventory, project (folder of the host's own copy of the app), offset (0 or 1, so that
two hosts are interrupted at different points), podman, container and ssh (configuration). Prints a line for each
interruption.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

given = json.load(sys.stdin)
STEP = 4  # tasks from one point of the first run to the next; the two hosts take turns
UPGRADES = 11
LIVE = 20
SEED = (
    "from datetime import timedelta; from django.utils.timezone import now;"
    "from oauth2_provider.models import AccessToken as A;"
    f"[A.objects.create(token=f'live{{n}}', scope='live', expires=now() + timedelta(days=1)) for n in range({LIVE})]"
)
LOOK = """
set -eu
python3 -c 'import urllib.request as r
r.build_opener(r.ProxyHandler({})).open("http://127.0.0.1:8000/healthz", timeout=30)'
tutorial-manage shell --verbosity=0 --command \
    "from oauth2_provider.models import AccessToken as A; print(A.objects.filter(scope='live').count())"
basename "$(readlink /opt/tutorial/current)"
for unit in web worker beat; do
    basename "$(readlink "/proc/$(systemctl show --property=MainPID --value tutorial-$unit)/cwd")"
done
ls -d /etc/tutorial/generations/.half 2>/dev/null || true
"""


def start():
    """Start to run site.yml."""
    command = ["ansible-playbook", "--inventory", given["inventory"], "--limit", given["host"], "site.yml"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def interrupt(process, power):
    """Kill the playbook, and with `power` everything on the host, which then boots."""
    if power:
        subprocess.run([given["podman"], "kill", given["container"]], check=True, capture_output=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if power:
        subprocess.run([given["podman"], "start", given["container"]], check=True, capture_output=True)


def playbook(kill_at=None, power=False):
    """Run site.yml; kill it after the given number of tasks. Return the exit code (None: killed) and the last task."""
    process = start()
    tasks, lines = 0, []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("TASK ["):
            tasks += 1
            if tasks == kill_at:
                time.sleep(random.uniform(0, 2))  # noqa: S311  # somewhere in the task
                interrupt(process, power)
                return None, line.split("[", 1)[1].split("]")[0]
    code = process.wait()
    if code:
        sys.exit(f"The next run failed:\n{''.join(lines)}")
    return code, ""


def cut_while_unpacking():
    """Cut the power when dpkg has unpacked some of the broker's packages and configured none."""
    process = start()
    while on_host("grep 'status unpacked erlang-[d-z]' /var/log/dpkg.log").returncode:
        if process.poll() is not None:
            sys.exit("No package was seen to be unpacked")
        time.sleep(0.1)
    interrupt(process, power=True)
    until = time.time() + 60
    while not (half := on_host("dpkg --audit").stdout) and time.time() < until:
        time.sleep(1)
    if "erlang" not in half:
        sys.exit(f"dpkg had finished: {half}")
    print("first run: power cut while dpkg unpacks", flush=True)


def on_host(script):
    command = ["ssh", "-F", given["ssh"], given["host"], "sudo", "bash"]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False)


def look(patience=60):
    """Return what serves, when the page answers: live tokens, current release, those of the processes, what is kept."""
    until = time.time() + patience
    while (result := on_host(LOOK)).returncode and time.time() < until:
        time.sleep(1)
    if result.returncode:
        sys.exit(f"It does not answer: {result.stdout}{result.stderr}")
    live, current, *rest = result.stdout.split()
    return int(live), current, rest


def whole(release_before=None):
    """Refuse what is half-switched or lost."""
    live, current, rest = look()
    if live != LIVE or rest != [current] * 3 or current == release_before:
        sys.exit(f"{live} of {LIVE} live tokens, {current} is current, {rest} run; it was {release_before}")
    return current


random.seed(given["offset"])
cut_while_unpacking()
points, point = 1, 2 + given["offset"] * STEP // 2
while True:
    power = points % 2 == 0
    code, task = playbook(point, power)
    if code == 0:
        break
    print(f"first run: {'power cut' if power else 'SIGKILL'} in task {point}, {task}", flush=True)
    points, point = points + 1, point + STEP
on_host(f'tutorial-manage shell --verbosity=0 --command "{SEED}"')
current = whole()

for number in range(UPGRADES):
    Path(given["project"], "README").write_text(f"release {number}\n")
    power = number % 2 == 1
    point = 14 + given["offset"] * 2 + number * 3
    code, task = playbook(point, power)
    if code is None:
        print(f"upgrade: {'power cut' if power else 'SIGKILL'} in task {point}, {task}", flush=True)
        points += 1
        live, *_ = look()  # somebody serves at once, or after the boot
        if live != LIVE:
            sys.exit(f"{live} of {LIVE} live tokens are left")
        playbook()
    current = whole(current)
print(f"{points} interruptions")
