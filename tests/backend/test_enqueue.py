"""Enqueueing is one statement, in the caller's transaction, or nothing at all."""

from datetime import timedelta

import pytest
from django.db import connections, transaction

from django_schwartz.backend.compat import InvalidTask
from django_schwartz.models import Job
from tests.app import tasks
from tests.rows import statements

pytestmark = pytest.mark.usefixtures("patient")

UNFIT = {
    "NUL": "a\0b",
    "NUL in a key": {"a\0": 1},
    "NaN": float("nan"),
    "infinity": [float("inf")],
    "half a surrogate pair": "\udc80",
    "a pair in two halves": "\ud83d\ude00",
    "bytes that are no text": b"\xff",
    "an object": object(),
    "a set": {1},
    "a huge number": 10**5000,
}


def test_enqueue_is_one_statement(database):
    tasks.add.enqueue(1)

    with statements(database) as words:
        tasks.add.enqueue(2)

    assert words == ["INSERT"]


def test_many_are_enqueued_in_one_statement_and_one_transaction(backend, database):
    tasks.add.enqueue(0)

    with statements(database) as words:
        results = tasks.add.enqueue_many(([n], {"other": 1}) for n in range(5))

    assert [word for word in words if word not in ("BEGIN", "COMMIT")] == ["INSERT"]
    assert [result.args for result in results] == [[0], [1], [2], [3], [4]]
    assert backend.get_result(results[3].id) == results[3]


def test_many_of_several_tasks_are_enqueued_by_the_backend(backend):
    one, two = backend.enqueue_many([(tasks.add, [1], {}), (tasks.greet, ["ann"], {})])

    assert (one.task.name, two.task.name) == ("add", "greet")
    assert backend.enqueue_many([]) == []


@pytest.mark.parametrize("value", UNFIT.values(), ids=UNFIT)
def test_an_arg_that_no_database_can_hold_is_refused_before_the_statement(database, value):
    tasks.add.enqueue(1)

    with transaction.atomic(using=database):
        with statements(database) as words, pytest.raises((TypeError, ValueError)):
            tasks.add.enqueue(value)
        assert words == []
        tasks.add.enqueue(2)

    assert Job.objects.count() == 2


@pytest.mark.parametrize("delay", [timedelta.max, timedelta.min, timedelta(days=9000 * 365)])
def test_a_delay_that_no_calendar_has_is_refused_before_the_statement(database, delay):
    tasks.greet.enqueue("ann")

    with statements(database) as words, pytest.raises(ValueError, match="no calendar has"):
        tasks.greet.using(run_after=delay).enqueue("bob")

    assert words == []


def test_an_arg_that_is_nested_too_deeply_is_refused(database):
    nested = []
    for _ in range(100_000):
        nested = [nested]

    with pytest.raises(ValueError, match="nested too deeply"):
        tasks.add.enqueue(nested)


def test_an_arg_that_only_looks_like_nul_is_stored(backend):
    result = tasks.add.enqueue("\\u0000", other="\\\\u0000")

    assert backend.get_result(result.id).args == ["\\u0000"]


def test_one_unfit_call_among_many_stores_none(database):
    with pytest.raises(ValueError, match="JSON compliant"):
        tasks.add.enqueue_many([([1], {}), ([float("nan")], {})])

    assert not Job.objects.exists()


def test_a_rolled_back_transaction_takes_the_task_along(database):
    with transaction.atomic(using=database):
        tasks.add.enqueue(1)
        transaction.set_rollback(True, using=database)

    assert not Job.objects.exists()


def test_a_queue_that_the_backend_does_not_have_is_refused(settings, database):
    elsewhere = tasks.add.using(queue_name="elsewhere")
    settings.TASKS = {
        "default": {"BACKEND": settings.TASKS["default"]["BACKEND"], "QUEUES": ["default"]}
    }

    with pytest.raises(InvalidTask, match="Queue 'elsewhere' is not valid"):
        elsewhere.enqueue()


def test_the_option_database_names_where_tasks_go(two_databases, settings):
    settings.TASKS = {
        "default": {
            "BACKEND": settings.TASKS["default"]["BACKEND"],
            "OPTIONS": {"database": "postgresql"},
        }
    }

    results = [tasks.add.enqueue(number) for number in range(5)]

    assert {result.id.partition("-")[0] for result in results} == {"postgresql"}


def test_two_databases_share_the_tasks_and_each_result_is_found(two_databases):
    results = [tasks.add.enqueue(number) for number in range(20)]

    assert {result.id.partition("-")[0] for result in results} == set(two_databases)
    assert [tasks.add.get_result(result.id) for result in results] == results


def test_no_query_is_made_to_make_or_to_check_a_task(database):
    with statements(database) as words:
        tasks.add.using(priority=3, queue_name="reports")
        tasks.add.get_backend().check()

    assert words == []
    assert connections[database].vendor == database
