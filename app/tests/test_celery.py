"""The Celery application, as worker and beat see it.

What only RabbitMQ does is tried by the scenarios on hosts.
"""

import logging
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery, Task
from celery.contrib.testing.worker import start_worker

from .conftest import Run

Wait = Callable[[str], None]


@pytest.fixture
def worker(celery_app: Celery, caplog: pytest.LogCaptureFixture) -> Iterator[Wait]:
    """Run a worker with a broker in this process; yield how to wait for a line of its log."""
    caplog.set_level(logging.INFO)
    kept = celery_app.conf.broker_url
    celery_app.conf.update(broker_url="memory://")
    celery_app.loader.import_default_modules()

    def wait(words: str) -> None:
        deadline = time.monotonic() + 10
        while not any(words in text for text in caplog.messages):
            assert time.monotonic() < deadline, caplog.messages
            time.sleep(0.05)

    try:
        with start_worker(celery_app, pool="solo", perform_ping_check=False, loglevel="INFO"):
            yield wait
    finally:
        celery_app.conf.update(broker_url=kept)


@pytest.fixture
def again(celery_app: Celery) -> Iterator[Task[Any, Any]]:
    """A chore that asks to be tried again in an hour."""

    @celery_app.task(bind=True, name="tutorial.tasks.again")
    def again(self: Task[Any, Any]) -> None:
        raise self.retry(countdown=3600)

    yield again
    del celery_app.tasks[again.name]


@pytest.fixture
def quick(celery_app: Celery) -> Iterator[Task[Any, Any]]:
    """A chore that needs nothing."""

    @celery_app.task(name="tutorial.tasks.quick")
    def quick() -> None:
        pass

    yield quick
    del celery_app.tasks[quick.name]


def test_chore_that_would_wait_holds_up_no_other(
    again: Task[Any, Any], quick: Task[Any, Any], worker: Wait
) -> None:
    again.delay()
    worker("tutorial.tasks.again is refused: it asks to wait until")
    quick.apply_async(countdown=3600)
    worker("tutorial.tasks.quick is refused")
    quick.delay()
    worker("succeeded in")


@pytest.mark.parametrize("eta", ["garbage", "2020-01-01", "2020-01-01T00:00:00", "2020-01-01T00:00:00+00:00"])
def test_time_that_is_none_or_past_stops_no_worker(quick: Task[Any, Any], worker: Wait, eta: str) -> None:
    quick.apply_async(headers={"eta": eta})
    quick.delay()
    worker("succeeded in")


def test_pickles_are_refused(quick: Task[Any, Any], worker: Wait, celery_app: Celery) -> None:
    with celery_app.connection_for_write() as connection, connection.Producer() as producer:
        producer.publish(
            pickle.dumps(([], {}, {})),
            routing_key="maintenance",
            content_type="application/x-python-serialize",
            content_encoding="binary",
            headers={"id": "1", "task": quick.name},
        )
    worker("Refusing to deserialize")
    quick.delay()
    worker("succeeded in")


def test_task_is_registered_under_the_name_in_the_fixture(celery_app: Celery) -> None:
    celery_app.loader.import_default_modules()

    assert "tutorial.tasks.clear_tokens" in celery_app.tasks


def test_clock_is_utc(celery_app: Celery) -> None:
    assert celery_app.conf.enable_utc is True
    assert str(celery_app.timezone) == "UTC"


def test_beat_reads_the_database_without_being_told_and_adds_no_task(celery_app: Celery) -> None:
    assert celery_app.conf.beat_scheduler == "django_celery_beat.schedulers:DatabaseScheduler"
    assert celery_app.conf.beat_max_loop_interval == 5
    assert celery_app.conf.beat_enable_remote_control is True
    assert celery_app.conf.result_expires is None


def test_chores_have_a_queue_for_one_worker_at_a_time(celery_app: Celery) -> None:
    celery_app.loader.import_default_modules()
    chores = [name for name in celery_app.tasks if name.startswith("tutorial.tasks.")]
    assert len(chores) == 4

    for chore in chores:
        queue = celery_app.amqp.router.route({}, chore)["queue"]
        assert queue.name == queue.routing_key == "maintenance"
        assert queue.queue_arguments == {"x-single-active-consumer": True}


def test_limit_of_one_message_is_for_the_chores_alone(celery_app: Celery) -> None:
    channel = Mock()
    for name, limits in {"maintenance": [(0, 1, False), (0, 0, False)], "celery": []}.items():
        channel.reset_mock()
        celery_app.amqp.queues[name].bind(channel).consume("tag", print)

        assert [call.args for call in channel.basic_qos.mock_calls] == limits
        channel.basic_consume.assert_called_once()


def test_other_tasks_have_celerys_own_queue(celery_app: Celery) -> None:
    queue = celery_app.amqp.router.route({}, "celery.ping")["queue"]

    assert (queue.name, queue.exchange.name, queue.routing_key) == ("celery", "celery", "celery")
    assert queue.queue_arguments is None


def test_worker_takes_from_both_queues(celery_app: Celery) -> None:
    assert set(celery_app.amqp.queues.consume_from) == {"celery", "maintenance"}


def test_network_cuts_are_survived(celery_app: Celery) -> None:
    assert celery_app.conf.broker_heartbeat == 10
    assert celery_app.conf.broker_channel_error_retry is True
    assert celery_app.conf.broker_connection_retry_on_startup is True
    assert celery_app.conf.broker_connection_max_retries is None


def test_task_is_not_lost_with_its_worker_nor_hangs_for_ever(celery_app: Celery) -> None:
    assert celery_app.conf.task_acks_late is True
    assert celery_app.conf.worker_prefetch_multiplier == 1
    assert 0 < celery_app.conf.task_soft_time_limit < celery_app.conf.task_time_limit < 1800


def test_log_formats_by_hand_are_celerys_own(celery_app: Celery) -> None:
    assert celery_app.conf.worker_log_format == "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
    assert celery_app.conf.worker_task_log_format == (
        "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"
    )


SHOW_BROKER = "from celery.app.utils import find_app; print(find_app('tutorial').connection().as_uri())"


def test_broker_is_the_tutorials_unless_given(run: Run) -> None:
    assert run("-c", SHOW_BROKER).stdout == "amqp://guest:**@localhost:5672//\n"


def test_broker_comes_from_the_credential_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("pyamqp://someone:secret@broker.example:5673/there\n")

    result = run("-c", SHOW_BROKER, CELERY_BROKER_URL_FILE=str(tmp_path / "url"))

    assert result.stdout == "amqp://someone:**@broker.example:5673/there\n"
