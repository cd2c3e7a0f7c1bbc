"""The Celery application, as worker and beat see it."""

from pathlib import Path
from unittest.mock import Mock

from celery import Celery

from .conftest import Run


def test_task_is_registered_under_the_name_in_the_fixture(celery_app: Celery) -> None:
    celery_app.loader.import_default_modules()

    assert "tutorial.tasks.clear_tokens" in celery_app.tasks


def test_only_json_is_spoken(celery_app: Celery) -> None:
    assert celery_app.conf.accept_content == ["json"]
    assert celery_app.conf.task_serializer == "json"
    assert celery_app.conf.event_serializer == "json"


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
