"""What is known of a database stands or falls with its transaction, and so does a dispatch."""

import threading
import unittest

import pytest
from django.db import connections, transaction
from django.test import TestCase

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import FuncMap, Job
from django_schwartz.transactions import Tentative
from tests.app.models import Trace


@pytest.fixture
def undo(database):
    """Roll back the innermost atomic() when it ends."""
    return lambda: transaction.set_rollback(True, using=database)


def in_another_thread(work):
    """What the work gives in a thread, and so on connections, of its own."""
    results = []

    def run():
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    [result] = results
    return result


# Tentative facts


def test_a_fact_outside_a_transaction_holds(database):
    fact = Tentative(database)

    assert fact.holds


def test_a_fact_holds_within_its_transaction_and_after_the_commit(database):
    with transaction.atomic(using=database):
        fact = Tentative(database)
        within = fact.holds

    assert within is True
    assert fact.holds


def test_a_fact_does_not_hold_after_a_rollback(database, undo):
    with transaction.atomic(using=database):
        fact = Tentative(database)
        undo()

    assert not fact.holds


def test_a_fact_does_not_hold_after_the_rollback_of_its_savepoint(database, undo):
    with transaction.atomic(using=database):
        with transaction.atomic(using=database):
            fact = Tentative(database)
            undo()
        within = fact.holds

    assert within is False
    assert not fact.holds


def test_a_fact_outlives_its_savepoint(database):
    with transaction.atomic(using=database):
        with transaction.atomic(using=database):
            fact = Tentative(database)
        within = fact.holds

    assert within is True
    assert fact.holds


def test_a_fact_does_not_outlive_the_transaction_around_its_savepoint(database, undo):
    with transaction.atomic(using=database):
        with transaction.atomic(using=database):
            fact = Tentative(database)
        undo()

    assert not fact.holds


def test_a_fact_outlives_the_rollback_of_a_savepoint_that_is_not_its_own(database, undo):
    with transaction.atomic(using=database):
        fact = Tentative(database)
        with transaction.atomic(using=database):
            undo()
        within = fact.holds

    assert within is True
    assert fact.holds


def test_a_fact_outlives_a_later_transaction_that_is_rolled_back(database, undo):
    with transaction.atomic(using=database):
        fact = Tentative(database)
    with transaction.atomic(using=database):
        undo()

    assert fact.holds


def test_a_fact_does_not_hold_after_its_transaction_lost_its_connection(database, undo):
    with transaction.atomic(using=database):
        fact = Tentative(database)
        connections[database].close()
        within = fact.holds
        undo()

    assert within is False
    assert not fact.holds


def test_a_fact_does_not_hold_for_another_thread_before_the_commit(database):
    with transaction.atomic(using=database):
        fact = Tentative(database)
        elsewhere = in_another_thread(lambda: fact.holds)

    assert elsewhere is False
    assert in_another_thread(lambda: fact.holds) is True


def test_a_fact_of_one_database_knows_nothing_of_anothers_transaction(two_databases):
    with transaction.atomic(using="sqlite"):
        fact = Tentative("postgresql")
        transaction.set_rollback(True, using="sqlite")

    assert fact.holds


# What is known of functions


def numbers():
    return dict(FuncMap.objects.values_list("funcname", "funcid"))


def test_a_function_whose_row_was_rolled_back_gets_another(client, database, undo):
    with transaction.atomic(using=database):
        client.dispatch_async("Unheard")
        undo()

    handle = client.dispatch_async("Unheard")

    assert numbers()["Unheard"] == handle.job.funcid


def test_a_function_whose_row_went_with_a_savepoint_gets_another(client, database, undo):
    with transaction.atomic(using=database):
        with transaction.atomic(using=database):
            client.dispatch_async("Unheard")
            undo()
        handle = client.dispatch_async("Unheard")

    assert numbers()["Unheard"] == handle.job.funcid


def test_a_number_that_was_rolled_back_is_not_mistaken_for_the_next_function(
    client, database, undo
):
    with transaction.atomic(using=database):
        client.dispatch_async("First")
        undo()
    second = client.dispatch_async("Second")

    first = client.dispatch_async("First")

    assert first.job.funcname == "First"
    assert second.job.funcname == "Second"
    assert first.job.funcid != second.job.funcid


def test_a_function_made_in_a_transaction_is_known_after_the_commit(
    client, database, django_assert_num_queries
):
    with transaction.atomic(using=database):
        client.dispatch_async("Unheard")

    with django_assert_num_queries(1, using=database):
        client.dispatch_async("Unheard")


def test_a_function_made_in_a_transaction_is_known_within_it(
    client, database, django_assert_num_queries
):
    with transaction.atomic(using=database):
        client.dispatch_async("Unheard")
        with django_assert_num_queries(1, using=database):
            client.dispatch_async("Unheard")


def test_a_function_is_unknown_to_other_threads_until_its_row_is_committed(client, database):
    def look():
        return list(FuncMap.objects.find(["Unheard"], using=database))

    with transaction.atomic(using=database):
        client.dispatch_async("Unheard")
        before = in_another_thread(look)
    after = in_another_thread(look)

    assert before == []
    assert after == ["Unheard"]


def test_a_name_read_in_a_transaction_that_is_rolled_back_is_read_again(
    client, database, django_assert_num_queries, undo
):
    handle = client.dispatch_async("Unheard")
    FuncMap.objects.forget(using=database)
    with transaction.atomic(using=database):
        name_within = handle.job.funcname
        undo()

    with django_assert_num_queries(2, using=database):
        name = handle.job.funcname

    assert name_within == name == "Unheard"


def test_two_databases_number_their_functions_apart(two_databases):
    client = TheSchwartz()
    for alias in two_databases:
        for name in ("A", "B") if alias == "sqlite" else ("B", "A"):
            client.dispatch_async(name, name, using=alias)

    jobs = [job for alias in two_databases for job in Job.objects.using(alias)]

    assert [job.funcname for job in jobs] == [job.arg for job in jobs]


# In a project's own tests


@pytest.fixture
def run_case(database):
    """Run test methods as a Django TestCase of one method each does; give what they return."""

    def run(*tests):
        given = []

        class Case(TestCase):
            databases = {database}

            def test_it(self):
                given.append(self.method())

        suite = unittest.TestSuite()
        for test in tests:
            case = Case("test_it")
            case.method = test.__get__(case)
            suite.addTest(case)
        result = unittest.TestResult()
        suite.run(result)
        assert not result.errors, result.errors[0][1]
        assert not result.failures, result.failures[0][1]
        return given

    return run


def test_a_function_first_used_in_one_test_case_can_be_used_in_the_next(run_case, client):
    def dispatch_and_tell(self):
        handle = client.dispatch_async("Unheard")
        return numbers()["Unheard"] == handle.job.funcid

    told = run_case(dispatch_and_tell, dispatch_and_tell, dispatch_and_tell)

    assert told == [True, True, True]
    assert "Unheard" not in numbers()


def test_commit_callbacks_that_a_test_case_runs_commit_nothing(run_case, client, database):
    def dispatch_and_tell(self):
        with self.captureOnCommitCallbacks(using=database, execute=True):
            handle = client.dispatch_async("Unheard")
        return numbers()["Unheard"] == handle.job.funcid

    told = run_case(dispatch_and_tell, dispatch_and_tell, dispatch_and_tell)

    assert told == [True, True, True]
    assert "Unheard" not in numbers()


def test_a_job_is_performed_in_a_test_case(run_case, client):
    @register
    class Count(Worker):
        performed = 0

        def work(self, job):
            Count.performed += 1
            job.completed()

    client.can_do("Count")

    def dispatch_and_work(self):
        client.dispatch_async("Count")
        client.work_until_done()
        return Count.performed, Job.objects.count()

    told = run_case(dispatch_and_work, dispatch_and_work)

    assert told == [(1, 0), (2, 0)]


def test_what_a_performance_wrote_before_it_broke_the_transaction_is_known_to_be_gone(
    run_case, client
):
    @register
    class Break(Worker):
        def work(self, job):
            client.dispatch_async("Unheard")
            trace = Trace.objects.create(jobid=1, what="once")
            Trace(pk=trace.pk, jobid=1, what="twice").save(force_insert=True)

    client.can_do("Break")

    def break_and_dispatch(self):
        broken = client.dispatch_async("Break")
        client.work_until_done()
        handle = client.dispatch_async("Unheard")
        return broken.failures, numbers()["Unheard"] == handle.job.funcid, Trace.objects.count()

    assert run_case(break_and_dispatch) == [(1, True, 0)]


def test_a_verdict_that_a_performance_gave_before_it_broke_the_transaction_is_a_failure(
    run_case, client
):
    @register
    class Break(Worker):
        def work(self, job):
            trace = Trace.objects.create(jobid=1, what="once")
            job.completed()
            Trace(pk=trace.pk, jobid=1, what="twice").save(force_insert=True)

    client.can_do("Break")

    def break_and_tell(self):
        handle = client.dispatch_async("Break")
        client.work_until_done()
        return handle.is_pending, [text.partition(":")[0] for text in handle.failure_log]

    assert run_case(break_and_tell) == [(False, ["IntegrityError"])]


def test_on_commit_dispatches_when_a_test_case_runs_its_callbacks(run_case, client, database):
    def dispatch_and_tell(self):
        with self.captureOnCommitCallbacks(using=database, execute=True):
            client.dispatch_async("Unheard", on_commit=True)
            before = Job.objects.count()
        return before, Job.objects.count()

    assert run_case(dispatch_and_tell) == [(0, 1)]


# A dispatch and the caller's transaction


@pytest.mark.parametrize("dispatch", ["one", "many"])
@pytest.mark.parametrize(("fails", "queued"), [(False, 2), (True, 0)], ids=["commit", "rollback"])
def test_a_dispatch_stands_or_falls_with_the_transaction(
    client, database, dialect, undo, dispatch, fails, queued
):
    with transaction.atomic(using=database):
        if dispatch == "one":
            client.dispatch_async("Note")
            client.dispatch_async("Unheard")
        else:
            client.dispatch_jobs([Job(funcname="Note"), Job(funcname="Unheard")])
        if fails:
            undo()

    assert Job.objects.count() == queued


def test_a_dispatch_in_a_savepoint_falls_with_it_alone(client, database, undo):
    with transaction.atomic(using=database):
        client.dispatch_async("Note", "kept")
        with transaction.atomic(using=database):
            client.dispatch_async("Note", "undone")
            undo()

    assert [job.arg for job in Job.objects.all()] == ["kept"]


def test_nobody_can_grab_a_job_before_the_commit(client, database):
    def grab():
        return TheSchwartz().find_job_for_workers(["Note"])

    if database == "sqlite":  # a grab would wait for the transaction that writes
        grab = Job.objects.using(database).first
    with transaction.atomic(using=database):
        client.dispatch_async("Note")
        before = in_another_thread(grab)
    after = in_another_thread(grab)

    assert before is None
    assert after.funcname == "Note"


def test_a_verdict_that_is_rolled_back_can_be_given_again(client, database, undo):
    handle = client.dispatch_async("Note")
    job = client.find_job_for_workers(["Note"])
    with transaction.atomic(using=database):
        job.completed()
        undo()
    was_pending = handle.is_pending

    again = job.completed()

    assert was_pending
    assert again is True
    assert not handle.is_pending


# on_commit


def test_on_commit_gives_no_handle(client, database):
    with transaction.atomic(using=database):
        given = client.dispatch_async("Note", on_commit=True)

    assert given is None
    assert Job.objects.count() == 1


def test_on_commit_of_a_savepoint_waits_for_the_transaction(client, database):
    with transaction.atomic(using=database):
        with transaction.atomic(using=database):
            client.dispatch_async("Note", on_commit=True)
        before = Job.objects.count()

    assert before == 0
    assert Job.objects.count() == 1


def test_on_commit_dispatches_nothing_of_a_savepoint_that_is_rolled_back(client, database, undo):
    with transaction.atomic(using=database):
        client.dispatch_async("Note", "kept", on_commit=True)
        with transaction.atomic(using=database):
            client.dispatch_async("Note", "undone", on_commit=True)
            undo()

    assert [job.arg for job in Job.objects.all()] == ["kept"]


UNSTORABLE = {
    "arg": object(),
    "uniqkey": "k" * 256,
    "coalesce": 1.5,
    "priority": 99_999,
    "run_after": object(),
    "meta": object(),
}


@pytest.mark.parametrize("field", UNSTORABLE)
def test_on_commit_refuses_at_once_what_cannot_be_stored(
    client, database, django_assert_num_queries, field
):
    unstorable = {field: UNSTORABLE[field]}

    with (
        transaction.atomic(using=database),
        django_assert_num_queries(0, using=database),
        pytest.raises((TypeError, ValueError)),
    ):
        client.dispatch_async("Unheard", on_commit=True, **unstorable)

    assert Job.objects.count() == 0


def test_on_commit_checks_a_job_without_a_query(client, database, django_assert_num_queries):
    with transaction.atomic(using=database), django_assert_num_queries(0, using=database):
        client.dispatch_async(Job(funcname="Unheard", arg=[1]), on_commit=True)
        with pytest.raises(ValueError, match="funcname"):
            client.dispatch_async("", on_commit=True)

    assert Job.objects.count() == 1


def test_on_commit_outside_a_transaction_dispatches_at_once(client):
    client.dispatch_async("Note", "at once", on_commit=True)

    assert Job.objects.get().arg == "at once"


def test_on_commit_waits_for_the_transaction_of_a_database_that_holds_no_queue(two_databases):
    client = TheSchwartz(["postgresql"])

    with transaction.atomic(using="sqlite"):
        client.dispatch_async("Note", on_commit=True)
        before = Job.objects.using("postgresql").count()

    assert before == 0
    assert Job.objects.using("postgresql").count() == 1
    assert Job.objects.using("sqlite").count() == 0


def test_a_rollback_in_a_database_that_holds_no_queue_dispatches_nothing(two_databases):
    client = TheSchwartz(["postgresql"])

    with transaction.atomic(using="sqlite"):
        client.dispatch_async("Note", on_commit=True)
        transaction.set_rollback(True, using="sqlite")

    assert Job.objects.using("postgresql").count() == 0


def test_without_on_commit_a_dispatch_to_another_database_stands_by_itself(two_databases):
    client = TheSchwartz(["postgresql"])

    with transaction.atomic(using="sqlite"):
        client.dispatch_async("Note")
        transaction.set_rollback(True, using="sqlite")

    assert Job.objects.using("postgresql").count() == 1


def test_using_names_the_database_of_a_dispatch_on_commit(two_databases):
    client = TheSchwartz(["sqlite", "postgresql"])

    with transaction.atomic(using="sqlite"):
        client.dispatch_async("Note", on_commit=True, using="postgresql")

    assert Job.objects.using("postgresql").count() == 1
