"""The measurements; `bench.child` runs each in a process of its own, on the database DATABASE_URL."""

import itertools
import logging
import os
import select
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from oauth2_provider import models as toolkit
from oauth2_provider.settings import oauth2_settings

from bench import data
from tutorial import cleanup, schema

logging.disable(logging.WARNING)
Result = dict[str, Any]
MARK = cleanup.Mark()
CLEANERS: dict[str, Callable[[], None]] = {
    "toolkit": toolkit.clear_expired,
    "whole look": cleanup.clear_expired,
    "ours": partial(cleanup.clear_expired, MARK),  # the first of which is a whole look
}
RUNS, SECONDS = 15, 3.0  # an idle tick is repeated so often, or for so long, but three times at least


def fill(kind: str, n: str) -> Result:
    """Make a database as the toolkit has it, without indexes of ours, and fill it."""
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        for index in itertools.chain.from_iterable(schema.INDEXES.values()):
            cursor.execute(f"DROP INDEX {index.name}")
        getattr(data, kind)(int(n))
        # The rows came with their primary keys.
        models = [getattr(toolkit, name) for name in ("Application", *schema.INDEXES)]
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")  # as its autovacuum does sooner or later
    return {}


def equip() -> Result:
    """Make the indexes; tell how long that took."""
    begin = time.perf_counter()
    schema.ensure_indexes("default")
    wall = time.perf_counter() - begin
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    return {"wall": wall}


def idle(who: str) -> Result:
    """Return the fastest of the ticks when there is nothing to delete: others shared the machine."""
    CLEANERS[who]()
    walls: list[float] = []
    while len(walls) < 3 or (len(walls) < RUNS and sum(walls) < SECONDS):
        begin = time.perf_counter()
        CLEANERS[who]()
        walls.append(time.perf_counter() - begin)
    return {"wall": min(walls)}


def plain_sql() -> None:
    """Delete in six statements (and what a foreign key needs): the least that it can cost."""
    now, limit = data.sql_time("0"), data.sql_time(f"-{oauth2_settings.REFRESH_TOKEN_EXPIRE_SECONDS}")
    access, refresh = "oauth2_provider_accesstoken", "oauth2_provider_refreshtoken"
    source = "source_refresh_token_id"
    revoked = f"SELECT id FROM {refresh} WHERE revoked <= {limit}"
    old = f"SELECT id FROM {access} WHERE expires <= {limit}"
    idle = f"SELECT id FROM {refresh} WHERE revoked IS NULL AND access_token_id IN ({old})"
    with connection.cursor() as cursor:
        for rows in (revoked, idle):
            cursor.execute(f"UPDATE {access} SET {source} = NULL WHERE {source} IN ({rows})")
            cursor.execute(f"DELETE FROM {refresh} WHERE id IN ({rows})")
        cursor.execute(f"DELETE FROM {refresh} WHERE revoked IS NULL AND access_token_id IS NULL")
        for token, holder, column in (
            ("accesstoken", "refreshtoken", "access_token_id"),
            ("idtoken", "accesstoken", "id_token_id"),
        ):
            cursor.execute(
                f"DELETE FROM oauth2_provider_{token} WHERE expires < {now} AND NOT EXISTS "
                f"(SELECT 1 FROM oauth2_provider_{holder} h WHERE h.{column} = oauth2_provider_{token}.id)"
            )
        cursor.execute(f"DELETE FROM oauth2_provider_grant WHERE expires < {now}")


CLEANERS["plain SQL"] = plain_sql


def cpu() -> float:
    """Return the CPU seconds of this process and of the server's process that works for it."""
    seconds = time.process_time()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            process = cursor.fetchone()[0]
        times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
        seconds += sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return seconds


def peak_memory() -> float:
    """Return the most memory this process has had since its peak was reset, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def backlog(who: str) -> Result:
    """Return what clearing it costs: seconds without pauses, CPU seconds, MB, and which rows are left."""
    toolkit.Grant.objects.filter(pk=-1).delete()  # what Django loads at its first query is not part of it
    paused = 0.0
    sleep = time.sleep

    def counted_sleep(seconds: float) -> None:
        nonlocal paused
        begin = time.perf_counter()
        sleep(seconds)
        paused += time.perf_counter() - begin

    Path("/proc/self/clear_refs").write_text("5")
    memory, used, begin = peak_memory(), cpu(), time.perf_counter()
    with patch("time.sleep", counted_sleep):
        CLEANERS[who]()
    wall, used, memory = time.perf_counter() - begin - paused, cpu() - used, peak_memory() - memory
    left = [toolkit.AccessToken.objects.exclude(scope="probe").count()]
    left += [model.objects.count() for model in (toolkit.RefreshToken, toolkit.IDToken, toolkit.Grant)]
    return {"wall": wall, "cpu": used, "paused": paused, "memory": memory, "left": left}


def probe() -> Result:
    """Insert an access token every 10 ms until standard input ends; return the longest wait."""
    waits: list[float] = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        begin = time.perf_counter()
        toolkit.AccessToken.objects.create(
            token=f"probe {len(waits)}",
            scope="probe",
            expires=timezone.now() + timedelta(hours=1),
        )
        waits.append(time.perf_counter() - begin)
    return {"longest": max(waits), "median": statistics.median(waits), "inserts": len(waits)}


def requests(hasher: str) -> Result:
    """Return how many tokens per second one process issues by client credentials."""
    secret = "s" * 128
    toolkit.Application.objects.update_or_create(
        client_id="bench",
        defaults={
            "client_secret": make_password(secret, hasher=hasher),
            "client_type": "confidential",
            "authorization_grant_type": "client-credentials",
        },
    )
    client = Client(headers={"Host": "localhost"})
    count, begin = -3, time.perf_counter()  # the first three warm up
    while count < 5 or time.perf_counter() - begin < SECONDS:
        if count == 0:
            begin = time.perf_counter()
        response = client.post(
            "/o/token/",
            {"grant_type": "client_credentials", "client_id": "bench", "client_secret": secret},
        )
        if response.status_code != 200:
            raise SystemExit(response.text)
        count += 1
    return {"rate": count / (time.perf_counter() - begin)}


def logins(hasher: str) -> Result:
    """Return how many log-ins one process does in a CPU second, with the class of a hasher."""
    with override_settings(PASSWORD_HASHERS=[hasher]):
        password = make_password("correct horse")
        get_user_model().objects.update_or_create(username="bench", defaults={"password": password})
        count, begin = -3, cpu()  # the first three warm up
        while count < 5 or cpu() - begin < SECONDS:
            if count == 0:
                begin = cpu()
            client = Client(headers={"Host": "localhost"})
            form = {"username": "bench", "password": "correct horse"}
            # The attempts of one address in a minute are limited.
            address = f"10.0.{count // 200 + 1}.{count % 200}"
            response = client.post("/accounts/login/", form, REMOTE_ADDR=address)
            if response.status_code != 302:
                raise SystemExit(response.text)
            count += 1
        return {"rate": count / (cpu() - begin)}


def schedule(steady: str) -> Result:
    """Make a task that is due every so many seconds, and one that is due every hour."""
    for name, every in {"steady": int(steady), "changing": 3600}.items():
        interval, _ = IntervalSchedule.objects.get_or_create(every=every, period="seconds")
        PeriodicTask.objects.create(
            name=name, task="tutorial.tasks.clear_tokens", interval=interval, last_run_at=timezone.now()
        )
    return {}


def change(every: str) -> Result:
    """Change the second one's interval, as the Admin does; return the moment."""
    interval, _ = IntervalSchedule.objects.get_or_create(every=int(every), period="seconds")
    task = PeriodicTask.objects.get(name="changing")
    task.interval = interval
    task.save()
    return {"time": time.time()}
