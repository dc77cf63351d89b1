"""work_until_done and inline perform jobs in a TestCase as a process of its own does."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connections, transaction

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import FuncMap, Job
from django_schwartz.testing import assert_completed, inline, work_until_done
from tests.app.models import Trace
from tests.rows import rows


@register
class Twice(Worker):
    """Dispatch a Note of the arg twice over, the second on commit."""

    def work(self, job):
        client = TheSchwartz()
        client.dispatch_async("Note", f"{job.arg} 1")
        with transaction.atomic(using=job.alias, durable=True):
            client.dispatch_async("Note", f"{job.arg} 2", on_commit=True)
        job.completed()


@pytest.fixture(autouse=True)
def _workers(schwartz_workers):
    register(Twice)


def notes():
    return list(Trace.objects.order_by("pk").values_list("what", flat=True))


def dispatch(funcname, arg=None, **fields):
    return TheSchwartz().dispatch_async(funcname, arg, **fields)


def test_all_that_is_due_is_performed_and_what_that_dispatches(in_test_case):
    def work():
        dispatch("Twice", "hi")
        performed = work_until_done()
        return [str(attempt).split()[0] for attempt in performed], notes(), Job.objects.count()

    assert in_test_case(work) == (["Twice", "Note", "Note"], ["hi 1", "hi 2"], 0)


def test_nothing_is_committed(in_test_case):
    before = rows(), notes(), FuncMap.objects.count()

    def work():
        dispatch("Twice", "hi")
        return len(work_until_done())

    assert in_test_case(work) == 3
    assert (rows(), notes(), FuncMap.objects.count()) == before


def test_outside_a_transaction_it_commits_as_a_worker_does(database):
    dispatch("Note", "hi")

    assert_completed(work_until_done())

    assert notes() == ["hi"]


def test_only_the_named_workers_work(in_test_case):
    def work():
        dispatch("Twice", "hi")
        work_until_done("Twice")
        return notes(), [job.arg for job in Job.objects.order_by("jobid")]

    assert in_test_case(work) == ([], ["hi 1", "hi 2"])


def test_a_failed_statement_spoils_no_other_as_outside_a_transaction(in_test_case):
    @register
    class Stumble(Worker):
        def work(self, job):
            trace = Trace.objects.create(jobid=1, what="before")
            try:
                Trace(pk=trace.pk, jobid=1).save(force_insert=True)
            except IntegrityError:
                Trace.objects.create(jobid=1, what="after")
            job.completed()

    def work():
        dispatch("Stumble")
        assert_completed(work_until_done())
        return notes()

    assert in_test_case(work) == ["before", "after"]


def test_what_needs_a_transaction_is_refused_as_outside_one(in_test_case, database):
    @register
    class Lock(Worker):
        def work(self, job):
            list(Trace.objects.select_for_update())

    def work():
        dispatch("Lock")
        return [attempt.outcome.message for attempt in work_until_done()]

    is_refused = connections[database].features.has_select_for_update  # SQLite ignores it
    [message] = in_test_case(work)
    assert ("select_for_update cannot be used outside" in message) is is_refused


def test_rows_are_read_in_chunks_while_others_are_written(in_test_case):
    @register
    class Copy(Worker):
        def work(self, job):
            for trace in Trace.objects.filter(jobid=0).order_by("pk").iterator(chunk_size=2):
                Trace.objects.create(jobid=1, what=f"{trace.what} again")
            job.completed()

    def work():
        for number in range(5):
            Trace.objects.create(jobid=0, what=number)
        dispatch("Copy")
        assert_completed(work_until_done())
        return Trace.objects.filter(jobid=1).count()

    assert in_test_case(work) == 5


def test_a_worker_that_switches_autocommit_off_commits_by_itself(in_test_case, database):
    @register
    class Manual(Worker):
        def work(self, job):
            transaction.set_autocommit(False, using=database)
            Trace.objects.create(jobid=1, what="committed")
            transaction.commit(using=database)
            Trace.objects.create(jobid=1, what="rolled back")

    def work():
        dispatch("Manual")
        work_until_done()
        return notes(), transaction.get_autocommit(using=database)

    assert in_test_case(work) == (["committed"], False)


def test_a_worker_that_closes_its_connection_leaves_the_tests_alone(in_test_case):
    @register
    class Close(Worker):
        def work(self, job):
            transaction.atomic(using=job.alias).__enter__()
            Trace.objects.create(jobid=1, what="rolled back")
            connections[job.alias].close()
            Trace.objects.create(jobid=1, what="on a new connection")
            job.completed()

    def work():
        Trace.objects.create(jobid=0, what="of the test")
        dispatch("Close")
        assert_completed(work_until_done())
        return notes()

    assert in_test_case(work) == ["of the test", "on a new connection"]


def test_the_callbacks_of_the_test_itself_wait(in_test_case, database):
    called = []

    def work():
        transaction.on_commit(lambda: called.append("test"), using=database)
        dispatch("Twice", "hi")
        work_until_done()
        return list(called), len(connections[database].run_on_commit) > 0

    assert in_test_case(work) == ([], True)


def test_work_without_an_end_is_an_error_of_the_test(in_test_case):
    @register
    class Forever(Worker):
        def work(self, job):
            job.replace_with(Job(funcname="Forever"))

    def work():
        dispatch("Forever")
        with pytest.raises(AssertionError, match="1000 jobs were performed, and still some"):
            work_until_done()

    in_test_case(work)


def test_what_was_not_completed_is_told_with_its_traceback(in_test_case):
    def work():
        dispatch("Raise", "no such luck")
        performed = work_until_done()
        with pytest.raises(AssertionError) as raised:
            assert_completed(performed)
        return str(raised.value)

    text = in_test_case(work)

    assert text.startswith("Not all jobs were completed:\nRaise ")
    assert "raise RuntimeError(job.arg)\nRuntimeError: no such luck" in text


# Inline


def test_inline_performs_at_the_dispatch(in_test_case):
    def work():
        with inline() as performed:
            dispatch("Note", "hi")
            assert_completed(performed)
            return notes(), Job.objects.count()

    assert in_test_case(work) == (["hi"], 0)


def test_inline_args_go_through_the_database(in_test_case):
    seen = []

    @register
    class See(Worker):
        def work(self, job):
            seen.append(job.arg)
            job.completed()

    def work():
        with inline():
            dispatch("See", {"pair": (1, 2), 3: "three"})
            with pytest.raises(TypeError, match="JSON"):
                dispatch("See", object())

    in_test_case(work)

    assert seen == [{"pair": [1, 2], "3": "three"}]


def test_inline_what_a_worker_dispatches_is_performed_after_it(in_test_case):
    def work():
        with inline() as performed:
            dispatch("Twice", "hi")
            return [attempt.job.funcname for attempt in performed], notes()

    assert in_test_case(work) == (["Twice", "Note", "Note"], ["hi 1", "hi 2"])


def test_inline_a_batch_is_performed_when_it_is_dispatched(in_test_case):
    def work():
        with inline():
            TheSchwartz().dispatch_jobs(Job(funcname="Note", arg=name) for name in "ab")
            return notes()

    assert in_test_case(work) == ["a", "b"]


def test_inline_a_job_of_later_waits(in_test_case):
    def work():
        with inline():
            dispatch("Note", "hi", run_after=timedelta(hours=1))
            return notes(), Job.objects.count()

    assert in_test_case(work) == ([], 1)


def test_inline_work_falls_with_the_transaction_of_its_dispatch(in_test_case, database):
    def work():
        with inline(), transaction.atomic(using=database):
            dispatch("Note", "hi")
            within = notes()
            transaction.set_rollback(True, using=database)
        return within, notes()

    assert in_test_case(work) == (["hi"], [])


def test_inline_ends_with_its_block(in_test_case):
    def work():
        with inline():
            pass
        dispatch("Note", "hi")
        return notes()

    assert in_test_case(work) == []
