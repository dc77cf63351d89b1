"""The worker processes in the admin."""

import pytest
from django.db import connections

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


NUMBER = "9" * 5000
#: What SQL can write into each of the columns of JSON.
ODD_JSON = [
    "1",
    '"<b>x"',
    "false",
    "[1,[2]]",
    '{"a": [1]}',
    '[{"funcname": [1], "seconds": {}}, null]',
    NUMBER,
    f"[{NUMBER}]",
]


@pytest.fixture
def odd_process(process, database):
    """Make the row of a process, whose columns then have these values of SQL."""

    def make(**columns):
        process("a:1")
        values = ", ".join(f"{column} = {value}" for column, value in columns.items())
        with connections[database].cursor() as cursor:
            cursor.execute(f"UPDATE django_schwartz_workerprocess SET {values}")

    return make


def shown_on_both_pages(browser):
    responses = [browser.get(list_of(WorkerProcess)), browser.get(page_of(WorkerProcess, "a:1"))]
    assert [response.status_code for response in responses] == [200, 200]
    return [text_of(response) for response in responses]


@pytest.mark.parametrize("column", ["abilities", "jobs", "away"])
@pytest.mark.parametrize("value", ODD_JSON, ids=lambda value: value[:20])
def test_a_row_of_odd_json_is_shown(browser, odd_process, column, value):
    odd_process(**{column: f"'{value}'"})

    for shown in shown_on_both_pages(browser):
        assert "<b>x" not in shown


@pytest.mark.only_on("sqlite", "postgresql")
@pytest.mark.parametrize("column", ["abilities", "jobs", "away"])
def test_json_that_is_too_deep_is_shown(browser, odd_process, column):
    odd_process(**{column: f"'{'[' * 990}{']' * 990}'"})

    shown_on_both_pages(browser)


def test_json_of_another_shape_is_shown_as_text(browser, odd_process):
    odd_process(abilities="""'"<b>one"'""", jobs="'[7]'", away="'[\"queue2\"]'")

    for shown in shown_on_both_pages(browser):
        assert "&lt;b&gt;one" in shown
        assert ">7<" in shown
        assert ">queue2<" in shown


@pytest.mark.only_on("sqlite", "mysql")
@pytest.mark.parametrize("column", ["abilities", "jobs", "away"])
def test_half_a_surrogate_pair_is_shown(browser, odd_process, column):
    odd_process(**{column: r"""'{"\ud800": "\ud800"}'"""})

    shown_on_both_pages(browser)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("value", ["9e999", "-9e999", "1e300", "1.5", "'much'", "x'ff'"])
@pytest.mark.parametrize("column", ["memory", "pid", "started_at", "beat_at"])
def test_a_number_that_is_none_is_shown(browser, odd_process, column, value):
    odd_process(**{column: value})

    shown_on_both_pages(browser)


@pytest.mark.only_on("sqlite")
def test_memory_that_is_no_whole_number_is_a_dash(browser, odd_process):
    odd_process(memory="9e999")

    for shown in shown_on_both_pages(browser):
        assert "field-held" in shown
        assert "inf" not in shown
