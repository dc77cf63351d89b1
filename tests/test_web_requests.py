"""A dispatch in a web request: what each choice makes of the job when something fails.

docs/transactions.rst says in words what each of these tests shows.
"""

from functools import partial

import pytest
from django.db import connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, override_settings
from django.urls import path

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import AllDatabasesDead
from django_schwartz.models import Job
from tests.app.models import Trace


def pay(request):
    """Write a row and dispatch, in the databases and the way that the query names; then fail."""
    asked = request.GET
    Trace.objects.using(asked.get("rows")).create(jobid=1, what="paid")
    client = TheSchwartz(asked["queue"].split() if "queue" in asked else None)
    client.dispatch_async("Note", on_commit="on_commit" in asked, using=asked.get("using"))
    if "fails" in asked:
        raise RuntimeError("after the dispatch")
    return HttpResponse(status=asked.get("status", 200))


def pay_without_a_transaction(request):
    return pay(request)


for alias in connections:
    transaction.non_atomic_requests(using=alias)(pay_without_a_transaction)


def stream(request):
    def chunks():
        TheSchwartz().dispatch_async("Note")
        yield "one"
        raise RuntimeError("in the middle")

    return StreamingHttpResponse(chunks())


urlpatterns = [
    path("pay", pay),
    path("pay-without", pay_without_a_transaction),
    path("stream", stream),
]


@pytest.fixture(autouse=True)
def _urls():
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.fixture
def atomic_requests(monkeypatch):
    """Switch ATOMIC_REQUESTS on for these databases."""

    def switch_on(*aliases):
        for alias in aliases:
            monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)

    return switch_on


def get(url, **query):
    return Client(raise_request_exception=False).get(url, query)


def left(alias, *, rows=None):
    """The rows, and the jobs, that are left."""
    rows = Trace.objects.using(rows or alias).count()
    return {"rows": rows, "jobs": Job.objects.using(alias).count()}


# One database, the queue beside the rows


def test_with_atomic_requests_a_view_that_raises_leaves_neither(database, atomic_requests):
    atomic_requests(database)

    response = get("/pay", rows=database, fails=1)

    assert response.status_code == 500
    assert left(database) == {"rows": 0, "jobs": 0}


def test_with_atomic_requests_a_view_that_returns_leaves_both(database, atomic_requests):
    atomic_requests(database)

    get("/pay", rows=database)

    assert left(database) == {"rows": 1, "jobs": 1}


def test_with_atomic_requests_an_error_that_is_returned_rolls_nothing_back(
    database, atomic_requests
):
    atomic_requests(database)

    get("/pay", rows=database, status=500)

    assert left(database) == {"rows": 1, "jobs": 1}


@pytest.mark.parametrize("url", ["/pay", "/pay-without"])
def test_without_a_transaction_both_stay_when_the_view_raises(database, atomic_requests, url):
    if url == "/pay-without":
        atomic_requests(database)

    get(url, rows=database, fails=1)

    assert left(database) == {"rows": 1, "jobs": 1}


def test_a_streaming_response_is_outside_the_transaction(database, atomic_requests):
    atomic_requests(database)

    response = get("/stream")
    with pytest.raises(RuntimeError, match="in the middle"):
        list(response.streaming_content)

    assert left(database) == {"rows": 0, "jobs": 1}


# on_commit


def test_on_commit_a_view_that_raises_leaves_neither(database, atomic_requests):
    atomic_requests(database)

    get("/pay", rows=database, on_commit=1, fails=1)

    assert left(database) == {"rows": 0, "jobs": 0}


def test_on_commit_loses_the_job_of_a_process_that_dies_after_the_commit(
    database, atomic_requests, dead_database
):
    """The row is committed, and then the queue cannot be reached, or nobody is there to reach."""
    atomic_requests(database)

    with pytest.raises(AllDatabasesDead):
        Client().get("/pay", {"rows": database, "on_commit": 1, "queue": dead_database})

    assert left(database) == {"rows": 1, "jobs": 0}


# The queue in another database than the rows


def test_a_queue_elsewhere_has_a_job_of_rows_that_were_rolled_back(two_databases, atomic_requests):
    atomic_requests("sqlite")

    get("/pay", rows="sqlite", queue="postgresql", fails=1)

    assert left("postgresql", rows="sqlite") == {"rows": 0, "jobs": 1}


def test_a_queue_elsewhere_has_its_job_before_the_rows_are_there(two_databases):
    with transaction.atomic(using="sqlite"):
        TheSchwartz(["postgresql"]).dispatch_async("Note")
        grabbed = TheSchwartz(["postgresql"]).find_job_for_workers(["Note"])

    assert grabbed is not None


def test_a_queue_elsewhere_waits_for_the_rows_on_commit(two_databases, atomic_requests):
    atomic_requests("sqlite")

    get("/pay", rows="sqlite", queue="postgresql", on_commit=1, fails=1)
    after_the_raise = left("postgresql", rows="sqlite")
    get("/pay", rows="sqlite", queue="postgresql", on_commit=1)

    assert after_the_raise == {"rows": 0, "jobs": 0}
    assert left("postgresql", rows="sqlite") == {"rows": 1, "jobs": 1}


def test_on_commit_with_two_open_transactions_waits_for_the_first_in_the_settings(two_databases):
    client = TheSchwartz(["postgresql"])

    with transaction.atomic(using="postgresql"):
        with transaction.atomic(using="sqlite"):
            client.dispatch_async("Note", on_commit=True)
        queued = Job.objects.using("postgresql").count()

    assert queued == 1


def test_djangos_own_on_commit_says_which_transaction_it_waits_for(two_databases):
    dispatch = partial(TheSchwartz(["postgresql"]).dispatch_async, "Note")

    with transaction.atomic(using="postgresql"):
        with transaction.atomic(using="sqlite"):
            transaction.on_commit(dispatch, using="postgresql")
        queued = Job.objects.using("postgresql").count()

    assert queued == 0
    assert Job.objects.using("postgresql").count() == 1


# Several databases that hold a queue


def test_of_several_queues_the_one_whose_transaction_is_open_gets_the_job(
    two_databases, atomic_requests
):
    atomic_requests("postgresql")

    get("/pay", rows="postgresql", fails=1)
    after_the_raise = [left(alias)["jobs"] for alias in two_databases]
    get("/pay", rows="postgresql")

    assert after_the_raise == [0, 0]
    assert [left(alias)["jobs"] for alias in two_databases] == [0, 1]


def test_of_two_open_transactions_the_first_in_the_settings_gets_the_job(
    two_databases, atomic_requests
):
    """Though the rows may be in the other."""
    atomic_requests("sqlite", "postgresql")

    get("/pay", rows="postgresql")

    assert [left(alias) for alias in two_databases] == [
        {"rows": 0, "jobs": 1},
        {"rows": 1, "jobs": 0},
    ]


def test_using_puts_the_job_beside_the_rows(two_databases, atomic_requests):
    atomic_requests("sqlite", "postgresql")

    get("/pay", rows="postgresql", using="postgresql")

    assert left("postgresql") == {"rows": 1, "jobs": 1}


def test_using_another_database_than_the_rows_leaves_a_job_without_them(
    two_databases, atomic_requests
):
    atomic_requests("sqlite")

    get("/pay", rows="sqlite", using="postgresql", fails=1)

    assert left("postgresql", rows="sqlite") == {"rows": 0, "jobs": 1}


def test_two_databases_commit_one_after_the_other(two_databases):
    """A death in between leaves the job of the one and not the rows of the other."""

    def die_between_the_commits():
        with transaction.atomic(using="sqlite"), transaction.atomic(using="postgresql"):
            Trace.objects.using("sqlite").create(jobid=1, what="paid")
            TheSchwartz().dispatch_async("Note", using="postgresql")
            transaction.on_commit(die, using="postgresql")

    def die():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_between_the_commits()

    assert left("postgresql", rows="sqlite") == {"rows": 0, "jobs": 1}
