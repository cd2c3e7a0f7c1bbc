#!/usr/bin/env python3
"""Let one thing after the other go wrong while the schedule runs and clients get tokens: `lose.py [FAULT…]`.

For each fault one line tells what it cost the schedule and the clients. Ends with an error if a tick was sent or worked
off twice, if a token that a client got isn't in the database afterwards, if a client failed where asking the other
proxy had to be enough, or if not all is well again within PATIENCE_SECONDS.
"""

import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clients import Answer, Clients
from hosts import (
    APP_HOSTS,
    DATA_HOSTS,
    INTERVAL_SECONDS,
    PROJECT,
    address,
    done,
    leader,
    longest_gap,
    on,
    patronictl,
    play,
    podman,
    primary,
    reachable,
    sent,
    shell,
    verb,
    wait,
    whole,
)

OFF_SECONDS = 40
CLIENT = ("loss-of-hosts", "known-to-this-test-alone")
MAKE_CLIENT = """
from oauth2_provider.models import Application
if not Application.objects.filter(client_id={0!r}).exists():
    Application.objects.create(name={0!r}, client_id={0!r}, client_secret={1!r}, client_type="confidential",
                               authorization_grant_type="client-credentials")
"""
COUNT = """
import json
from oauth2_provider.models import AccessToken
wanted = json.loads({wanted!r})
found = set(AccessToken.objects.filter(token_checksum__in=wanted).values_list("token_checksum", flat=True))
print(len(set(wanted) - found))
"""
# Everything that the brokers and databases keep, on one small disk.
TO_SMALL_DISK = """
systemctl stop rabbitmq-server patroni etcd
mkdir /small
mount -t tmpfs -o size=2500M,mode=0755 tmpfs /small
for name in rabbitmq postgresql etcd; do
  cp --archive /var/lib/$name /small/
  mount --bind /small/$name /var/lib/$name
done
systemctl start --no-block etcd patroni rabbitmq-server
"""
FROM_SMALL_DISK = """
systemctl stop rabbitmq-server patroni etcd
for name in rabbitmq postgresql etcd; do
  umount /var/lib/$name
  find /var/lib/$name -mindepth 1 -delete
  cp --archive /small/$name/. /var/lib/$name/
done
umount /small
rmdir /small
systemctl start --no-block etcd patroni rabbitmq-server
"""


def beat() -> str:
    """Return the host whose beat is active."""
    return sent(time.time() - 3 * INTERVAL_SECONDS)[-1][1]


def worker() -> str:
    """Return the host whose worker runs the chores."""
    return done(time.time() - 3 * INTERVAL_SECONDS)[-1][1]


def lead_queue(host: str) -> None:
    """Let the host's broker lead the queue of the chores."""
    name = 'rabbit_misc:r(<<"tutorial">>, queue, <<"maintenance">>)'
    code = f"""{{ok, Queue}} = rabbit_amqqueue:lookup({name}),
               rabbit_quorum_queue:transfer_leadership(Queue, 'rabbit@{address(host)}')."""
    if leader() != host:
        on(host, "rabbitmqctl", "eval", code)
    wait(f"{host} leads the queue", lambda: leader() == host)


def lead_database(host: str) -> None:
    """Make the host's database the primary."""
    if primary() != host:
        patronictl(host, "switchover", "--candidate", address(host), "--force")
    wait(f"{host} is the primary", lambda: primary() == host)


def lead_all() -> None:
    """Have the primary, the queue's leader, and the broker of beat on one host."""
    host = leader("celerybeat.leader")
    lead_queue(host)
    lead_database(host)


def lead_queue_beside_primary() -> None:
    """Have the queue's leader on another host than the primary."""
    lead_queue(next(host for host in DATA_HOSTS if host != primary()))


def idle() -> str:
    """Return the data host that leads neither database nor queue."""
    return next(host for host in DATA_HOSTS if host not in (primary(), leader()))


def beat_beside_worker() -> None:
    """Have the active beat on the host of the active worker."""
    if beat() != worker():
        verb("playbooks/move_beat.yml", f"--extra-vars=move_beat_to={worker()}")
    wait("beat and worker are active on one host", lambda: beat() == worker())


def be_active_and_lead() -> None:
    """Have all that leads data on one host, and all that is active of the app on another."""
    lead_all()
    beat_beside_worker()


def kill(host: str, *units: str) -> float:
    """Kill all processes of units at once; systemd starts them again."""
    moment = time.time()
    on(host, "systemctl", "kill", "--signal=SIGKILL", *units)
    return moment


def kill_postgresql() -> float:
    """Kill PostgreSQL of the primary; Patroni starts it again."""
    host, moment = primary(), time.time()
    on(host, "sh", "-c", "kill -9 $(head -n 1 /var/lib/postgresql/*/*/postmaster.pid)")
    return moment


def cut_off(*hosts: str) -> float:
    """Let hosts be silent, at once and without a last word."""
    rules = (
        "add table inet off; add chain inet off input { type filter hook input priority 0; policy drop; }; "
        "add chain inet off output { type filter hook output priority 0; policy drop; }; "
        "add rule inet off input iif lo accept; add rule inet off output oif lo accept"
    )
    moment = time.time()
    for host in hosts:
        on(host, "nft", rules)
    return moment


def cut_network(host: str) -> float:
    """Let a host hear and say nothing for 60 seconds, while it runs."""
    moment = cut_off(host)
    time.sleep(60)
    on(host, "nft", "delete table inet off")
    return moment


def cut_power(*hosts: str) -> float:
    """Let hosts be silent, and then be off."""
    moment = cut_off(*hosts)
    for host in hosts:
        podman("kill", f"oauth-clear-tokens-{host}")
    return moment


def give_power(host: str) -> None:
    """Boot a host."""
    podman("start", f"oauth-clear-tokens-{host}")


def power_cut(*hosts: str) -> float:
    """Hosts are off for a while."""
    moment = cut_power(*hosts)
    time.sleep(OFF_SECONDS)
    for host in hosts:
        give_power(host)
    return moment


def loss_of_all() -> float:
    """All data hosts lose their power at once, and come back in another order, with pauses."""
    moment = cut_power(*DATA_HOSTS)
    time.sleep(5)
    for host in (DATA_HOSTS[2], DATA_HOSTS[0], DATA_HOSTS[1]):
        give_power(host)
        time.sleep(15)
    return moment


def use_small_disk() -> None:
    """Move what the primary's host keeps to a small disk, and give it back its parts."""
    host = leader("celerybeat.leader")
    on(host, "sh", "-euc", TO_SMALL_DISK)
    wait("the host with the small disk works", whole)
    lead_queue(host)
    lead_database(host)


def fill_disk() -> float:
    """The primary's disk is full for a minute."""
    host, moment = primary(), time.time()
    on(host, "dd", "if=/dev/zero", "of=/small/filler", "bs=64k", check=False)
    time.sleep(60)
    on(host, "rm", "/small/filler")
    return moment


def leave_small_disk() -> None:
    """Move all back."""
    host = next(host for host in DATA_HOSTS if on(host, "find", "/small", "-maxdepth", "0", check=False))
    on(host, "sh", "-euc", FROM_SMALL_DISK)


def replace_host() -> float:
    """A data host is gone for good; an empty one has its address."""
    host = idle()
    moment = cut_power(host)
    podman("rm", "--force", "--volumes", "--time=0", f"oauth-clear-tokens-{host}")
    play("molecule/shared/create.yml", f"--limit={host}")
    play("molecule/ha/prepare.yml", f"--limit={host}")
    verb("site.yml")
    return moment


def deploy() -> float:
    """Deploy another release."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "app")
        shutil.copytree(PROJECT / "app", source)
        Path(source, "RELEASE").write_text(f"{time.time()}\n", encoding="utf-8")
        return verb("site.yml", f"--extra-vars=django_app_source={source}")


def nothing() -> None:
    """Do nothing."""


@dataclass
class Fault:
    """Something that goes wrong, or is done on purpose."""

    # Returns when it happened.
    happens: Callable[[], float]
    # What must be so before.
    before: Callable[[], None] = nothing
    after: Callable[[], None] = nothing
    # Whether a client that asks the other proxy as well may be refused: where there is no primary for a while.
    clients_notice: bool = False


FAULTS = {
    "switch_over": Fault(lambda: verb("playbooks/switch_over.yml"), clients_notice=True),
    "rolling_restart_of_databases": Fault(
        lambda: verb("playbooks/database.yml", "--extra-vars=postgresql_restart=true"), clients_notice=True
    ),
    "rolling_restart_of_brokers": Fault(lambda: verb("playbooks/broker.yml", "--extra-vars=rabbitmq_restart=true")),
    "rolling_deployment": Fault(deploy),
    "rollback": Fault(lambda: verb("playbooks/rollback.yml")),
    "killed_beat": Fault(lambda: kill(beat(), "tutorial-beat.service")),
    "killed_worker": Fault(lambda: kill(worker(), "tutorial-worker.service")),
    "killed_web": Fault(lambda: kill(APP_HOSTS[0], "tutorial-web.service")),
    "killed_nginx": Fault(lambda: kill(APP_HOSTS[0], "nginx.service")),
    "killed_broker_of_leader": Fault(lambda: kill(leader(), "rabbitmq-server.service")),
    "killed_broker_of_beat": Fault(lambda: kill(leader("celerybeat.leader"), "rabbitmq-server.service")),
    "killed_etcd": Fault(lambda: kill(primary(), "etcd.service")),
    "killed_postgresql": Fault(kill_postgresql, clients_notice=True),
    "killed_patroni_and_postgresql": Fault(lambda: kill(primary(), "patroni.service"), clients_notice=True),
    "power_cut_of_all_leaders": Fault(lambda: power_cut(primary()), lead_all, clients_notice=True),
    "power_cut_of_queue_leader": Fault(lambda: power_cut(leader()), lead_queue_beside_primary),
    "power_cut_of_other_data_host": Fault(lambda: power_cut(idle())),
    "power_cut_of_active_app_host": Fault(lambda: power_cut(beat()), beat_beside_worker),
    "power_cut_of_all_active": Fault(
        lambda: power_cut(primary(), beat()),
        be_active_and_lead,
        clients_notice=True,
    ),
    "network_cut_of_all_leaders": Fault(lambda: cut_network(primary()), lead_all, clients_notice=True),
    "network_cut_of_queue_leader": Fault(lambda: cut_network(leader()), lead_queue_beside_primary),
    "full_disk_of_all_leaders": Fault(fill_disk, use_small_disk, leave_small_disk, clients_notice=True),
    "new_data_host": Fault(replace_host, lead_queue_beside_primary),
    "loss_of_all_data_hosts": Fault(loss_of_all, clients_notice=True),
}


def check_ticks(name: str, start: float) -> str:
    """Fail if a tick was sent or worked off twice since then, and return what the schedule had to bear."""
    ticks, runs = [moment for moment, _ in sent(start)], done(start)
    # Beat looks at the clock a little early.
    twice = [later for earlier, later in itertools.pairwise(ticks) if later - earlier < INTERVAL_SECONDS * 0.8]
    same = len(runs) - len({identity for _, _, identity in runs})
    if twice or same:
        sys.exit(f"{name}: {len(twice)} ticks were sent twice, {same} worked off twice")
    # One that was sent before may have been worked off since.
    gap, lost = longest_gap([moment for moment, _, _ in runs]), max(len(ticks) - len(runs), 0)
    return f"longest gap {gap:.1f} s, {lost} of {len(ticks)} ticks not worked off"


def check_clients(name: str, clients: Clients, moment: float, failed: list[Answer]) -> str:
    """Fail if a token is lost or a client had to give up without need, and return what clients had to bear."""
    got = [answer.token for answer in clients.answers if answer.token]
    lost = int(shell(COUNT.format(wanted=json.dumps(got))))
    if lost:
        sys.exit(f"{name}: {lost} of {len(got)} tokens that clients got are not in the database")
    if failed and not FAULTS[name].clients_notice:
        sys.exit(f"{name}: {len(failed)} requests failed at both proxies: {failed[0]}")
    last = f", the last after {failed[-1].end - moment:.1f} s" if failed else ""
    return (
        f"no token for {clients.longest_pause():.1f} s, longest request {clients.longest():.1f} s, "
        f"{clients.asked_again()} of {len(clients.answers)} asked again, {len(failed)} in vain{last}"
    )


def measure(name: str) -> str:
    """Let a fault happen between two ticks, and return what it cost."""
    fault = FAULTS[name]
    wait(f"{name}: all is well", whole)
    fault.before()
    wait(f"{name}: all is well before it", whole)
    wait(f"{name}: a tick runs before it", lambda: bool(done(time.time() - INTERVAL_SECONDS)))
    start = time.time()
    with Clients(*CLIENT) as clients:
        wait(f"{name}: two ticks run before it", lambda: len(done(start)) >= 2)
        moment = fault.happens()
        end = time.time()
        wait(f"{name}: three ticks run after it", lambda: len(done(end)) >= 3)
        wait(f"{name}: all is well again", whole)
        # What was sent last may still run.
        time.sleep(3)
    schedule = check_ticks(name, start)
    said = f"{name}: {schedule}; {check_clients(name, clients, moment, clients.failed())}"
    fault.after()
    return said


if __name__ == "__main__":
    shell(MAKE_CLIENT.format(*CLIENT))
    for chosen in sys.argv[1:] or FAULTS:
        print(measure(chosen), flush=True)
    wait("all is well at the end", whole)
    # For the next one who asks.
    wait("all hosts are reached", reachable)
