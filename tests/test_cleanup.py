"""What is kept of finished jobs, for how long, and when it goes. After t/cleanup.t."""

import pytest
from django.db.models import F

from django_schwartz import Worker, register
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from django_schwartz.retention import purge
from django_schwartz.runner import Runner
from tests.rows import come_due

A_WEEK = 604_800


class Fail(Worker):
    keep_exit_status_for = 20

    def work(self, job):
        job.failed("an error message")


class Complete(Worker):
    keep_exit_status_for = 20

    def work(self, job):
        job.completed()


@pytest.fixture(autouse=True)
def _workers():
    register(Fail)
    register(Complete)


@pytest.fixture
def perform(client):
    """Dispatch a job of that worker and have it performed; give its handle."""

    def dispatch_and_work(worker):
        handle = client.dispatch_async(worker.funcname)
        client.grab_and_work_on(handle)
        return handle

    return dispatch_and_work


def pass_time(seconds):
    """Make all that is kept as old as it will be after so many seconds."""
    Error.objects.update(error_time=F("error_time") - seconds)
    ExitStatus.objects.update(
        completion_time=F("completion_time") - seconds, delete_after=F("delete_after") - seconds
    )


def jobids(model):
    return list(model.objects.order_by("jobid").values_list("jobid", flat=True))


# What is left of a job


def test_a_failed_job_leaves_an_error_and_an_exit_status(perform):
    handle = perform(Fail)

    assert handle.failures == 1
    assert handle.exit_status == 1
    assert jobids(Error) == [handle.jobid]
    assert jobids(ExitStatus) == [handle.jobid]


def test_a_completed_job_leaves_an_exit_status_alone(perform):
    failed, completed = perform(Fail), perform(Complete)

    assert completed.exit_status == 0
    assert jobids(ExitStatus) == [failed.jobid, completed.jobid]
    assert jobids(Error) == [failed.jobid]


def test_a_worker_that_keeps_no_exit_statuses_leaves_none(perform):
    @register
    class Forget(Complete):
        keep_exit_status_for = 0

    handle = perform(Forget)

    assert handle.exit_status is None
    assert not ExitStatus.objects.exists()


def test_an_exit_status_is_to_go_when_its_worker_says(perform):
    perform(Complete)

    row = ExitStatus.objects.get()
    assert (row.delete_after - row.completion_time).total_seconds() == 20


def test_failures_and_messages_outlive_their_job(perform):
    handle = perform(Fail)

    assert handle.job is None
    assert handle.failures == 1
    assert handle.failure_log == ["an error message"]


# What goes, and when


def test_a_failure_deletes_nothing_of_other_jobs(perform):
    old = perform(Fail)
    pass_time(10 * A_WEEK)

    perform(Fail)

    assert old.failures == 1
    assert old.exit_status == 1


def test_an_exit_status_stays_until_it_is_purged(database, perform):
    handle = perform(Complete)

    pass_time(21)
    before = handle.exit_status
    purge(database)

    assert before == 0
    assert handle.exit_status is None


def test_a_purge_keeps_the_exit_statuses_whose_time_has_not_come(database, perform):
    old = perform(Complete)
    pass_time(21)
    new = perform(Complete)

    purge(database)

    assert old.exit_status is None
    assert new.exit_status == 0


@pytest.mark.parametrize("delete_after", [None, 0])
def test_an_exit_status_that_is_never_to_go_stays(database, perform, delete_after):
    handle = perform(Complete)
    ExitStatus.objects.update(delete_after=delete_after)

    purge(database)

    assert handle.exit_status == 0


def test_a_purge_deletes_the_errors_older_than_a_week(database, perform):
    old = perform(Fail)
    pass_time(A_WEEK + 1)
    new = perform(Fail)

    purge(database)

    assert old.failures == 0
    assert new.failures == 1


def test_a_purge_keeps_the_errors_of_the_last_week(database, perform):
    handle = perform(Fail)
    pass_time(A_WEEK - 60)

    purge(database)

    assert handle.failures == 1


def test_errors_go_when_their_worker_says(database, perform):
    @register
    class Shy(Fail):
        keep_errors_for = 60

    @register
    class Archivist(Fail):
        keep_errors_for = 52 * A_WEEK

    shy, archivist, plain = perform(Shy), perform(Archivist), perform(Fail)
    pass_time(61)
    purge(database)
    after_a_minute = [shy.failures, archivist.failures, plain.failures]
    pass_time(A_WEEK)
    purge(database)

    assert after_a_minute == [0, 1, 1]
    assert [shy.failures, archivist.failures, plain.failures] == [0, 1, 0]


def test_errors_of_functions_that_nobody_here_performs_are_kept_for_a_week(database, client):
    handles = [client.dispatch_async("Unheard") for _ in range(2)]
    for handle in handles:
        handle.job.permanent_failure("of another program")
    old, new = (handle.jobid for handle in handles)
    Error.objects.filter(jobid=old).update(error_time=ServerTime() - A_WEEK - 1)

    purge(database)

    assert jobids(Error) == [new]


def test_errors_of_a_queued_job_are_never_purged(database, client):
    handle = client.dispatch_async("Fail")
    handle.job.add_failure("before")
    pass_time(100 * A_WEEK)

    purge(database)

    assert handle.failures == 1


def test_a_job_that_fails_once_a_fortnight_is_not_retried_for_ever(database, client):
    @register
    class Stubborn(Fail):
        max_retries = 2

    client.can_do(Stubborn)
    handle = client.dispatch_async("Stubborn")

    attempts = 0
    while attempts < 10 and client.work_once():
        attempts += 1
        pass_time(2 * A_WEEK)
        purge(database)
        come_due(handle)

    assert attempts == 3
    assert not handle.is_pending


def test_an_attempt_after_long_silence_leaves_only_its_own_rows(database, perform):
    perform(Fail)
    perform(Complete)
    pass_time(A_WEEK + 1)

    new = perform(Fail)
    purge(database)

    assert jobids(ExitStatus) == [new.jobid]
    assert jobids(Error) == [new.jobid]


def test_a_purge_never_touches_the_queue_and_its_functions(database, client):
    waiting = client.dispatch_async("Unheard", run_after=1)

    purge(database)

    assert waiting.is_pending
    assert FuncMap.objects.filter(funcname="Unheard").exists()


# How


def test_a_purge_tells_how_many_rows_it_deleted(database, perform):
    perform(Fail)
    perform(Complete)
    pass_time(A_WEEK + 1)

    assert purge(database) == 3
    assert purge(database) == 0


def test_a_purge_deletes_at_most_1000_rows_of_a_table_at_once(database, client):
    funcid = Job.objects.get(pk=client.dispatch_async("Fail").jobid).funcid
    ExitStatus.objects.bulk_create(
        ExitStatus(jobid=n, func_id=funcid, status=0, completion_time=1, delete_after=1)
        for n in range(1_000_001, 1_001_102)
    )
    Error.objects.bulk_create(
        Error(jobid=1_000_001, func_id=funcid, message="old", error_time=1) for _ in range(1001)
    )

    first, second = purge(database), purge(database)

    assert first == 2000
    assert second == 102


def test_a_runner_purges_when_it_begins_and_then_once_a_minute(client, perform):
    now = 0.0
    runner = Runner(client, delay=0, until_done=True, clock=lambda: now)

    def kept_after_running_at(moment):
        nonlocal now
        now = moment
        perform(Complete)
        pass_time(21)
        runner.run()
        return ExitStatus.objects.count()

    kept = [kept_after_running_at(moment) for moment in (0.0, 59.0, 60.0)]

    assert kept == [0, 1, 0]


def test_runschwartz_purges(perform, manage):
    handle = perform(Complete)
    pass_time(21)

    manage("runschwartz", "--until-done").wait(timeout=30)

    assert handle.exit_status is None
