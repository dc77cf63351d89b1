"""check_idempotent finds the statement at which a kill, and a second run, leave other rows."""

import random
from contextlib import suppress

import pytest
from django.db import transaction

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job
from django_schwartz.testing import NotIdempotent, check_idempotent
from tests.app.models import Trace
from tests.rows import rows


@pytest.fixture
def worker():
    """Make a worker of a function that does its work."""

    def make(work):
        return register(type("Charge", (Worker,), {"work": lambda self, job: work(job)}))

    return make


def insert_and_complete(job):
    Trace.objects.create(jobid=1, what=job.arg)
    job.completed()


def insert_once_and_complete(job):
    Trace.objects.get_or_create(jobid=1, what=job.arg)
    job.completed()


def insert_and_complete_in_one_transaction(job):
    with transaction.atomic(using=job.alias):
        insert_and_complete(job)


def insert_two_that_belong_together(job):
    if not Trace.objects.filter(what="first").exists():
        Trace.objects.create(jobid=1, what="first")
        Trace.objects.create(jobid=1, what="second")
    job.completed()


def dispatch_and_complete(job):
    TheSchwartz().dispatch_async("Mail", job.arg)
    job.completed()


def dispatch_once_and_complete(job):
    TheSchwartz().dispatch_async("Mail", job.arg, uniqkey=job.arg)
    job.completed()


def replace(job):
    job.replace_with(Job(funcname="Mail", arg=job.arg))


@pytest.mark.parametrize(
    "work",
    [
        insert_once_and_complete,
        insert_and_complete_in_one_transaction,
        dispatch_once_and_complete,
        replace,
    ],
)
def test_a_worker_that_may_be_killed_anywhere_passes(database, worker, in_test_case, work):
    in_test_case(lambda: check_idempotent(worker(work), "ann"))


def test_the_first_statement_whose_kill_shows_is_told(database, worker, in_test_case):
    def check():
        with pytest.raises(NotIdempotent) as raised:
            check_idempotent(worker(insert_and_complete), "ann")
        return raised.value

    found = in_test_case(check)

    assert found.line.startswith("test_idempotence.py:")
    assert found.line.endswith(": job.completed()")
    assert found.differences == ["app.Trace(id=new, jobid=1, what='ann'): 1 once, 2 twice"]
    assert str(found).startswith("Killed before test_idempotence.py:")


def test_rows_that_are_missing_are_told(database, worker, in_test_case):
    def check():
        with pytest.raises(NotIdempotent) as raised:
            check_idempotent(worker(insert_two_that_belong_together))
        return raised.value

    found = in_test_case(check)

    assert found.statement.startswith("INSERT INTO")
    assert found.differences == ["app.Trace(id=new, jobid=1, what='second'): 1 once, 0 twice"]


def test_jobs_that_are_dispatched_twice_are_told(database, worker, in_test_case):
    def check():
        with pytest.raises(NotIdempotent) as raised:
            check_idempotent(worker(dispatch_and_complete), "ann")
        return raised.value

    [difference] = in_test_case(check).differences

    assert difference.startswith("django_schwartz.Job(func_id=Mail, arg=b'\"ann\"', ")
    assert difference.endswith(": 1 once, 2 twice")


def test_a_second_run_that_fails_is_told(database, worker, in_test_case):
    def fail_if_it_was_here(job):
        assert not Trace.objects.exists(), "twice"
        insert_and_complete(job)

    def check():
        with pytest.raises(NotIdempotent) as raised:
            check_idempotent(worker(fail_if_it_was_here), "ann")
        return raised.value

    [difference] = in_test_case(check).differences

    assert difference.startswith("run again, it was not completed: Charge")
    assert "AssertionError: twice" in difference


def test_a_job_that_is_not_completed_at_all_is_no_question_of_running_twice(
    database, worker, in_test_case
):
    def check():
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            check_idempotent(worker(lambda job: 1 / 0))

    in_test_case(check)


def test_a_worker_that_catches_everything_is_killed_all_the_same(database, worker, in_test_case):
    def hide_and_write(job):
        try:
            with suppress(BaseException):
                Trace.objects.get_or_create(jobid=1, what="first")
        finally:
            Trace.objects.get_or_create(jobid=1, what="last")
        job.completed()

    in_test_case(lambda: check_idempotent(worker(hide_and_write)))


def test_values_that_differ_from_run_to_run_are_not_compared(database, worker, in_test_case):
    def write_something_random(job):
        Trace.objects.update_or_create(jobid=1, defaults={"what": random.random()})
        job.completed()

    in_test_case(lambda: check_idempotent(worker(write_something_random)))


def test_nothing_of_it_stays(database, worker):
    before = rows(), Trace.objects.count()

    with pytest.raises(NotIdempotent):
        check_idempotent(worker(insert_and_complete), "ann")

    assert (rows(), Trace.objects.count()) == before


def test_a_kill_between_the_commits_of_two_databases_is_tried(two_databases, worker):
    def write_to_both(job):
        with transaction.atomic(using="sqlite"), transaction.atomic(using="postgresql"):
            if not Trace.objects.using("postgresql").exists():
                Trace.objects.using("postgresql").create(jobid=1, what="here")
                Trace.objects.using("sqlite").create(jobid=1, what="there")
        job.completed()

    with pytest.raises(NotIdempotent) as raised:
        check_idempotent(worker(write_to_both))

    assert raised.value.statement == "COMMIT"
    assert raised.value.differences == ["app.Trace(id=new, jobid=1, what='there'): 1 once, 0 twice"]
