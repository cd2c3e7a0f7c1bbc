"""Wait until this host's services are seen at their work; prints one JSON line and never fails: the caller judges.

Standard input: JSON with seconds (how long to wait), entry (the name of one in the schedule), interval (seconds between
two of its runs), and what to ask: web (url and headers of a page that must answer 200, socket where that is a Unix
one), beat and worker (unit, folder of notes; of the worker more, the others of this host), beat_processes (of beats on
other hosts), worker_is_one_of_several. A beat on standby is not waited for. Prints for each what was seen, or nothing,
and why not.
"""

import hashlib
import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import time
import urllib.parse

MOST_BYTES = 100_000
given = json.load(sys.stdin)
started = time.monotonic()
# A run has begun and ended by then, as long as nothing is wrong.
patience = 2 * given["interval"] + 5


def unit_says(unit, *properties):
    """Return what systemd knows of the unit, by property."""
    show = ["systemctl", f"--property={','.join(properties)}", "show", unit]
    lines = subprocess.run(show, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def noted(service):
    """Return what the service's present process has noted of the entry within the last two intervals, and its unit."""
    unit = unit_says(service["unit"], "ActiveState", "InvocationID", "MainPID", "StatusText")
    name = hashlib.sha256(given["entry"].encode(errors="replace")).hexdigest()[:32]
    try:
        # The folder is the service's: no link, and nothing that never ends.
        file = os.open(f"{service['folder']}/{name}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(file, encoding="utf-8") as stream:
            known = json.loads(stream.read(MOST_BYTES)) if stat.S_ISREG(os.fstat(file).st_mode) else {}
        age = time.monotonic() - float(known["uptime"])
    except (OSError, ValueError, TypeError, KeyError):
        known, age = {}, 0
    ours = known.get("invocation") == unit["InvocationID"] and 0 <= age <= patience
    return (known if ours else {}), age, unit


def beat_sends(service):
    """Return what was seen of beat sending, and why nothing was."""
    known, age, unit = noted(service)
    if "sent" in known:
        return f"beat sent it {age:.0f} s ago", None
    if unit["StatusText"].startswith("standby") and given.get("beat_processes"):
        on_standby.add("beat")
    return None, f"beat is {unit['ActiveState']} and says: {unit['StatusText'] or 'nothing'}"


def workers_succeed(service):
    """Return what was seen of one of this host's workers, and why nothing was, by one that has it if there is one."""
    answers = [one_succeeds(worker) for worker in [service, *service.get("more", [])]]
    answers.sort(key=lambda answer: (not answer[0], "has run nothing" in str(answer[1])))
    return answers[0]


def one_succeeds(service):
    """Return what was seen of a worker doing what this beat has sent, and why nothing was."""
    known, age, unit = noted(service)
    processes = list(given.get("beat_processes", []))
    if given.get("beat"):
        processes.append(unit_says(given["beat"]["unit"], "MainPID")["MainPID"])
    origins = tuple(f"gen{process}@" for process in processes if process)
    if not known:
        says = unit["StatusText"] or "nothing"
        return None, f"the worker has run nothing of it, is {unit['ActiveState']} and says: {says}"
    if known.get("result") == "succeeded" and str(known.get("origin")).startswith(origins):
        return f"the worker ran it with success in {known['seconds']:.2f} s, {age:.0f} s ago", None
    if known.get("running"):
        return None, "its run hasn't ended"
    if known.get("result") == "succeeded":
        return None, "the worker's last run of it was sent by no beat that runs now"
    return None, f"its last run: {known.get('result')}{' (' + str(known['error']) + ')' if known.get('error') else ''}"


def page_answers(page):
    """Return the page's status if it is 200, and else what it answers; a page that sends elsewhere is no page."""
    url = urllib.parse.urlsplit(page["url"])
    # Without the proxies of the environment: the page is on this host.
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    try:
        if page.get("socket"):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(10)
            connection.sock.connect(page["socket"])
        connection.request("GET", url._replace(scheme="", netloc="").geturl(), headers=page["headers"])
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return None, f"{page['url']} doesn't answer: {error}"
    finally:
        connection.close()
    if answer.status == 200:
        return f"{page['url']} answers 200", None
    to = f" and sends to {answer.headers['Location']}" if "Location" in answer.headers else ""
    advice = "; set systemd_units_web_health_path to a page that answers 200 without a login"
    return None, f"{page['url']} answers {answer.status}{to}{advice}"


def awaited(service):
    """Tell whether the service hasn't been seen and still may be."""
    waited = time.monotonic() - started
    if seen[service] or service in on_standby:
        return False
    # Of several workers another one may get all of it.
    elsewhere = service == "worker" and given.get("worker_is_one_of_several")
    return waited < (min(patience, given["seconds"]) if elsewhere else given["seconds"])


ask = {"web": page_answers, "beat": beat_sends, "worker": workers_succeed}
on_standby = set()
seen = dict.fromkeys(service for service in ask if given.get(service))
why = {}
while True:
    for service in seen:
        if not seen[service]:
            seen[service], why[service] = ask[service](given[service])
    if not any(map(awaited, seen)):
        break
    time.sleep(1)
print(json.dumps({"seen": seen, "why": why}))
