"""Several workers on a host: what may be listed, the units that come of it, and who of them is seen at work."""

from typing import Any

import jinja2
import pytest

from project import ROOT, load_plugin

workers: Any = load_plugin("roles/systemd_units/filter_plugins/workers.py")
LISTED = [
    {"name": "worker"},
    {"name": "mail", "queues": ["mail", "celery.slow"], "concurrency": 3},
]


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        (LISTED, ""),
        ([], "systemd_units_workers is empty; remove it to have one worker"),
        ([{"queues": ["a"]}], "each worker needs a name of small letters"),
        ([{"name": "web"}], "each worker needs a name of small letters"),
        ([{"name": "Mail"}], "each worker needs a name of small letters"),
        ([{"name": 5}], "each worker needs a name of small letters"),
        (
            [{"name": "mail"}, {"name": "mail"}],
            "systemd_units_workers has mail twice; give each worker a name of its own.",
        ),
        ([{"name": "mail", "queue": "a"}], "mail has queue; only name, queues, concurrency are known."),
        ([{"name": "mail", "queues": "a"}], "the queues of mail must be a list of names"),
        ([{"name": "mail", "queues": ["a,b"]}], "the queues of mail must be a list of names"),
        ([{"name": "mail", "queues": ["a%b"]}], "the queues of mail must be a list of names"),
        ([{"name": "mail", "queues": [5]}], "the queues of mail must be a list of names"),
        ([{"name": "mail", "concurrency": 0}], "the concurrency of mail must be a whole number from 1 to 1000."),
        ([{"name": "mail", "concurrency": "many"}], "the concurrency of mail must be a whole number from 1 to 1000."),
    ],
)
def test_what_is_no_worker_is_refused(listed: list[dict[str, Any]], sentence: str) -> None:
    problems = workers.worker_problems(listed)
    assert bool(problems) is bool(sentence)
    assert sentence in "".join(problems)


def test_each_worker_has_a_unit_with_its_queues() -> None:
    files = workers.worker_files(LISTED, "/units", "shop", "2")
    assert [file["path"] for file in files] == ["/units/shop-worker.service", "/units/shop-mail.service"]
    folder = ROOT / "roles/systemd_units/templates"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=False)  # noqa: S701
    given = {
        "django_app_name": "shop",
        "systemd_units_celery_app": "shop",
        "systemd_units_process_memory": 100,
        "ansible_facts": {"distribution_major_version": "13"},
    }
    first, second = (environment.get_template(file["template"]).render(given | file["vars"]) for file in files)
    assert "--concurrency 2\n" in first
    assert "MemoryMax=300M" in first
    assert "--concurrency 3 --queues mail,celery.slow --hostname mail@%%h\n" in second
    assert "RuntimeDirectory=shop-mail\n" in second
    assert "SyslogIdentifier=shop-mail\n" in second
