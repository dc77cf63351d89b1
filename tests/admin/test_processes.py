"""The worker processes in the admin."""

import pytest

from django_schwartz.dialects import ServerTime
from django_schwartz.models import WorkerProcess
from tests.admin.conftest import list_of, page_of


@pytest.fixture
def process(database):
    """Make the row of a process; the fields may be expressions."""

    def make(name, **fields):
        WorkerProcess.objects.create(name=name, host="web-1", pid=7)
        WorkerProcess.objects.filter(pk=name).update(**{"beat_at": ServerTime(), **fields})

    return make


def text_of(response):
    return " ".join(response.content.decode().split())


def test_a_list_tells_who_works_and_on_what(browser, process):
    process("a", jobs=[{"handle": "default-7", "funcname": "<b>Mail", "seconds": 12}])

    shown = text_of(browser.get(list_of(WorkerProcess)))

    assert "working" in shown
    assert "&lt;b&gt;Mail default-7 for 12 s" in shown


@pytest.mark.parametrize(
    ("fields", "state"),
    [({}, "idle"), ({"jobs": [{}]}, "working"), ({"beat_at": 0}, "gone")],
)
def test_a_page_tells_the_state(browser, process, fields, state):
    process("a:1", **fields)

    assert f">{state}<" in text_of(browser.get(page_of(WorkerProcess, "a:1")))


def test_a_list_tells_which_databases_are_away_and_a_page_why(browser, process):
    process("a:1", away={"queue2": "<b>connection refused"})

    listed = text_of(browser.get(list_of(WorkerProcess)))
    shown = text_of(browser.get(page_of(WorkerProcess, "a:1")))

    assert ">queue2<" in listed
    assert "queue2: &lt;b&gt;connection refused" in shown


def test_a_page_tells_of_memory_and_abilities(browser, process):
    process("a:1", memory=50 * 1024**2, abilities=["Mail", "Index"])

    shown = text_of(browser.get(page_of(WorkerProcess, "a:1"))).replace("\xa0", " ")

    assert "50.0 MB" in shown
    assert "Mail Index" in shown
