"""What pages ask the database for: a bounded number of rows, in as few queries as for one."""

import re
from itertools import product

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from django_schwartz.models import Error, ExitStatus, FuncMap, Job, WorkerProcess
from tests.admin.conftest import handles, list_of, page_of

#: The lists, and how each is narrowed and searched.
LISTS = {
    Job: [
        {},
        {"function": 1},
        {"q": "user-7"},
        {"q": "user-*"},
        {"state": "due"},
        {"state": "delayed"},
        {"state": "grabbed"},
        {"state": "lease expired"},
        {"state": "nobody can do it"},
    ],
    ExitStatus: [
        {},
        {"function": 1},
        {"outcome": "failed"},
        {"outcome": "completed"},
        {"q": "user-7"},
        {"q": "user-*"},
    ],
    Error: [{}, {"function": 1}, {"group": "1:builtins.ValueError"}, {"q": "some words"}],
    FuncMap: [{}],
    WorkerProcess: [{}],
}
#: What may be asked for on top, and must not make a difference.
MORE = [{}, {"all": ""}, {"o": "1.2.3.-4.5"}, {"_facets": "True"}, {"p": "1"}]


@pytest.fixture
def asked(browser, database):
    """Get an address, and give the statements about the queue's tables that this took."""

    def get(url, narrowing=()):
        with CaptureQueriesContext(connections[database]) as captured:
            response = browser.get(url, dict(narrowing))
        assert response.status_code == 200
        statements = [query["sql"].replace("`", '"') for query in captured.captured_queries]
        return [sql for sql in statements if "django_schwartz_" in sql]

    return get


def fill(client, error, exit_status, number):
    for n in range(number):
        handle = client.dispatch_async("Note", {"n": n}, uniqkey=f"user-{n}")
        client.dispatch_async("Perl::Worker")
        exit_status(1_000_000 + n, uniqkey=f"user-{n}")
        for jobid in (handle.jobid, 1_000_000 + n):
            error("some words", jobid=jobid, exception="builtins.ValueError")


@pytest.mark.parametrize("model", LISTS)
def test_a_list_reads_and_counts_no_more_than_its_limits(asked, client, error, exit_status, model):
    fill(client, error, exit_status, 3)

    for narrowing, more in product(LISTS[model], MORE):
        for sql in asked(list_of(model), {**narrowing, **more}):
            assert is_bounded(sql), sql


def is_bounded(sql):
    """Whether a statement has a limit, or names the rows that it reads."""
    if "COUNT(" in sql and "FROM (SELECT" in sql:
        return re.search(r"LIMIT 10001\) ", sql) is not None
    if "COUNT(" in sql:  # of a function's jobs, unless there is an index entry at the limit
        return "OFFSET 999" in sql and sql.index("OFFSET 999") < sql.index("COUNT(")
    return (
        re.search(r"LIMIT \d+( OFFSET \d+)?$|\"(jobid|funcid)\" IN \([\d, ]+\)$", sql) is not None
    )


@pytest.mark.parametrize("model", LISTS)
def test_a_list_reads_no_column_that_may_be_large(asked, client, error, exit_status, model):
    fill(client, error, exit_status, 3)

    for narrowing in LISTS[model]:
        for sql in asked(list_of(model), narrowing):
            read = sql.partition(" FROM ")[0]
            read = re.sub(r"(LEFT|SUBSTR)\(\S+\"message\", (1, )?200\)", "", read)
            assert not re.search(r'"(arg|message|traceback|result|meta)"', read), sql


@pytest.mark.parametrize(
    ("model", "order"),
    [
        (Job, ['"jobid" DESC']),
        (ExitStatus, ['"jobid" DESC']),
        (Error, ['"error_time" DESC', '"id" DESC']),
        (FuncMap, ['"funcname" ASC']),
        (WorkerProcess, ['"name" ASC']),
    ],
)
def test_a_list_has_the_order_of_an_index_whatever_is_asked(asked, client, model, order):
    client.dispatch_async("Note")
    fields = ", ".join(f'"{model._meta.db_table}".{column}' for column in order)

    statements = asked(list_of(model), {"o": "1.-2.3"})

    assert [sql for sql in statements if sql.endswith(f" ORDER BY {fields} LIMIT 200")]


@pytest.mark.parametrize(
    ("model", "narrowing", "number"),
    [
        (Job, {}, 4),  # functions to filter by, the count, the page, its failures
        (Job, {"q": "user-*"}, 4),
        (Job, {"q": "user-1"}, 5),  # functions to search with
        (Job, {"state": "nobody can do it"}, 5),  # functions nobody can do
        (ExitStatus, {}, 3),
        (ExitStatus, {"q": "user-1"}, 4),
        (Error, {}, 6),  # and what the groups count; the pages of the jobs, queued or ended
        (Error, {"q": "words"}, 7),  # where the latest begin
        (FuncMap, {}, 2),
        (WorkerProcess, {}, 2),
    ],
    ids=str,
)
def test_a_list_takes_as_many_queries_for_one_row_as_for_many(
    asked, client, error, exit_status, model, narrowing, number
):
    fill(client, error, exit_status, 2)
    asked(list_of(model))
    few = asked(list_of(model), narrowing)

    fill(client, error, exit_status, 0)
    for n in range(20):
        client.dispatch_async("Note", uniqkey=f"user-1{n}")
        exit_status(2_000_000 + n)
        error("words", jobid=2_000_000 + n)
    many = asked(list_of(model), narrowing)

    assert (len(few), len(many)) == (number, number)


def test_rows_of_functions_that_have_no_row_take_no_more_queries(asked, error, exit_status):
    for n in range(5):
        error(jobid=n)
        exit_status(n)
    Error.objects.update(func_id=12345)
    ExitStatus.objects.update(func_id=12345)

    assert len(asked(list_of(Error))) == 8
    assert len(asked(list_of(ExitStatus))) == 4


@pytest.mark.parametrize("errors", [1, 20])
def test_a_page_takes_as_many_queries_for_one_error_as_for_many(
    asked, client, error, exit_status, errors
):
    handle = client.dispatch_async("Note", {"n": 1})
    exit_status(4711, arg=b"1")
    for jobid in [handle.jobid, 4711] * errors:
        row = error(jobid=jobid)
    pages = [(Job, handle.jobid), (ExitStatus, 4711), (Error, row.pk), (FuncMap, row.func_id)]

    numbers = [len(asked(page_of(model, pk))) for model, pk in pages]

    assert numbers == [6, 6, 5, 1]


def test_show_all_shows_no_more_than_it_may(browser, client):
    client.dispatch_jobs([Job(funcname="Note") for _ in range(201)])

    assert len(handles(browser.get(list_of(Job), {"all": ""}))) == 100


def test_a_list_that_grows_while_it_is_counted_stays_bounded(browser, client, monkeypatch):
    monkeypatch.setattr("django_schwartz.admin.jobs.JobAdmin.list_max_show_all", 3)
    client.dispatch_jobs([Job(funcname="Note") for _ in range(5)])

    assert len(handles(browser.get(list_of(Job)))) == 3
