"""What each verb writes: these rows, in one transaction, and nothing else."""

import copy
from datetime import UTC, datetime

import pytest

from django_schwartz import Worker, register
from django_schwartz.fields import unix_seconds
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from tests.outcomes.verdicts import VERDICTS
from tests.rows import WAKE, row_of, rows, statements


def changes(before, after):
    """The columns whose value another one took the place of."""
    return {name: after[name] for name in after if after[name] != before[name]}


# completed


def test_completed_removes_the_job_and_no_other(job):
    completed = job.completed()

    assert completed is True
    assert [row.uniqkey for row in Job.objects.all()] == ["second"]
    assert not Error.objects.exists()


def test_completed_keeps_exit_status_0_with_what_the_job_was(client, job):
    before = client.get_server_time()

    job.completed({"sent": True})

    kept = ExitStatus.objects.values().get()
    done = unix_seconds(kept.pop("completion_time"))
    assert before <= done <= client.get_server_time()
    assert kept == {
        "jobid": job.jobid,
        "func_id": FuncMap.objects.get(funcname="Task").funcid,
        "status": 0,
        "delete_after": datetime.fromtimestamp(done + 600, UTC),
        "arg": b'{"to":"a"}',
        "uniqkey": "first",
        "coalesce": "c",
        "priority": 3,
        "queue_name": None,
        "insert_time": job.insert_time,
        "run_after": datetime.fromtimestamp(1_700_000_000, UTC),
        "scheduled_for": datetime.fromtimestamp(1_700_000_000, UTC),
        "dispatched_at": job.dispatched_at,
        "grabbed_at": job.grabbed_at,
        "started_at": None,
        "completed_at": job.completed_at,
        "runtime": None,
        "worker_id": job.grabbed_by,
        "result": {"sent": True},
        "meta": None,
    }


def test_completed_is_one_transaction(job, database):
    with statements(database) as sent:
        job.completed()

    assert sent == ["BEGIN", "DELETE", "INSERT", "COMMIT"]


def test_completed_keeps_nothing_where_the_worker_keeps_none(job, task, database):
    task.keep_exit_status_for = 0

    with statements(database) as sent:
        job.completed()

    assert sent == ["BEGIN", "DELETE", "COMMIT"]
    assert not ExitStatus.objects.exists()


# failed


def test_failed_with_a_retry_left_changes_the_lease_and_the_time_and_nothing_else(client, job):
    row, before = row_of(job.handle), client.get_server_time()

    failed = job.failed("why")

    after = client.get_server_time()
    changed = changes(row, row_of(job.handle))
    assert failed is True
    assert changed.keys() == {"grabbed_until", "run_after"}
    assert changed["grabbed_until"] is None
    assert before + 60 <= unix_seconds(changed["run_after"]) <= after + 61


def test_failed_with_a_retry_left_records_no_exit_status(job):
    job.failed("why", 5)

    assert not ExitStatus.objects.exists()
    assert job.exit_status is None


def test_failed_records_an_error_of_this_attempt(client, job):
    before = client.get_server_time()

    job.failed("why")

    error = Error.objects.get()
    assert (error.jobid, error.func_id, error.message) == (job.jobid, job.funcid, "why")
    assert (error.worker_id, error.exception, error.traceback) == (job.grabbed_by, None, None)
    assert before <= unix_seconds(error.error_time) <= client.get_server_time()


def test_failed_with_a_retry_left_is_one_transaction(job, database):
    with statements(database) as sent:
        job.failed("why")

    assert sent == ["SELECT", "BEGIN", "UPDATE", "INSERT", "COMMIT", *WAKE[database]]


@pytest.mark.parametrize(
    ("given", "recorded"), [((75,), 75), ((-1,), -1), ((0,), 1), ((None,), 1), ((), 1)]
)
def test_failed_without_a_retry_left_removes_the_job_with_an_exit_status(
    last_attempt, given, recorded
):
    failed = last_attempt.failed("twice", *given)

    assert failed is True
    assert not last_attempt.handle.is_pending
    assert last_attempt.exit_status == recorded
    assert last_attempt.failure_log == ["once", "twice"]


def test_failed_without_a_retry_left_is_one_transaction(last_attempt, database):
    with statements(database) as sent:
        last_attempt.failed("twice")

    assert sent == ["SELECT", "BEGIN", "DELETE", "INSERT", "INSERT", "COMMIT"]


def test_failed_leaves_other_jobs_alone(last_attempt):
    other = row_of(Job.objects.get(uniqkey="second").handle)

    last_attempt.failed("twice")

    assert row_of(Job.objects.get().handle) == other


def test_failed_without_a_message_is_an_error_without_one(job):
    job.failed()

    assert job.failure_log == [""]


@pytest.mark.parametrize("exit_status", ["1", 1.5, True])
def test_an_exit_status_that_is_no_whole_number_is_refused(job, exit_status):
    before = rows()

    with pytest.raises(TypeError, match="An exit status is a whole number"):
        job.failed("why", exit_status)

    assert rows() == before


@pytest.mark.parametrize("exit_status", [2**31, -(2**31) - 1])
def test_an_exit_status_beyond_32_bits_is_refused(job, exit_status):
    before = rows()

    with pytest.raises(ValueError, match="An exit status must fit 32 bits"):
        job.permanent_failure("why", exit_status)

    assert rows() == before


# permanent_failure


@pytest.mark.parametrize(("given", "recorded"), [((75,), 75), ((0,), 1), ((None,), 1), ((), 1)])
def test_permanent_failure_removes_the_job_whatever_retries_are_left(job, given, recorded):
    failed = job.permanent_failure("never", *given)

    assert failed is True
    assert not job.handle.is_pending
    assert job.exit_status == recorded
    assert job.failure_log == ["never"]


def test_permanent_failure_is_one_transaction(job, database):
    with statements(database) as sent:
        job.permanent_failure("never")

    assert sent == ["BEGIN", "DELETE", "INSERT", "INSERT", "COMMIT"]


# declined


def test_declined_without_a_time_sends_one_statement(job, database):
    with statements(database) as sent:
        declined = job.declined()

    assert declined is True
    assert len(sent) == 1


def test_declined_until_a_time_changes_the_lease_and_the_time_and_nothing_else(job):
    row = row_of(job.handle)

    declined = job.declined(1_900_000_000)

    changed = changes(row, row_of(job.handle))
    assert declined is True
    assert changed == {
        "grabbed_until": None,
        "run_after": datetime.fromtimestamp(1_900_000_000, UTC),
    }
    assert not Error.objects.exists()
    assert not ExitStatus.objects.exists()


def test_declined_until_a_time_is_one_transaction(job, database):
    with statements(database) as sent:
        job.declined(1_900_000_000)

    assert sent == ["BEGIN", "UPDATE", "COMMIT", *WAKE[database]]


# replace_with


def test_replace_with_removes_the_job_as_completed_and_queues_the_others(job):
    replaced = job.replace_with(Job(funcname="Child", arg="a"))

    assert replaced is True
    assert not job.handle.is_pending
    assert job.exit_status == 0
    assert [row.arg for row in Job.objects.filter(func__funcname="Child")] == ["a"]
    assert not Error.objects.exists()


# add_failure and set_exit_status


def test_add_failure_records_an_error_and_changes_nothing_else(job):
    row = row_of(job.handle)

    error = job.add_failure("by the way")

    assert Error.objects.get() == error
    assert error.message == "by the way"
    assert row_of(job.handle) == row
    assert job.did_something is False


def test_an_added_failure_counts(job):
    job.add_failure("by the way")

    job.failed("finally")

    assert not job.handle.is_pending
    assert job.failure_log == ["by the way", "finally"]


def test_set_exit_status_records_it_and_changes_nothing_else(job):
    row = row_of(job.handle)

    kept = job.set_exit_status(42)

    assert ExitStatus.objects.get() == kept
    assert kept.status == 42
    assert row_of(job.handle) == row
    assert job.did_something is False


def test_add_failure_is_one_transaction(job, database):
    with statements(database) as sent:
        job.add_failure("by the way")

    assert sent == ["BEGIN", "SELECT", "INSERT", "COMMIT"]


def test_set_exit_status_is_one_transaction(job, database):
    with statements(database) as sent:
        job.set_exit_status(42)

    assert sent == ["BEGIN", "SELECT", "INSERT", "COMMIT"]


def test_set_exit_status_records_nothing_where_the_worker_keeps_none(job, task):
    task.keep_exit_status_for = 0

    assert job.set_exit_status(42) is None
    assert not ExitStatus.objects.exists()


def test_the_verdict_replaces_an_exit_status_that_was_set_before(job):
    job.set_exit_status(42)

    job.completed()

    assert job.exit_status == 0


def test_an_exit_status_that_is_set_after_the_verdict_replaces_it(job):
    job.completed()

    job.set_exit_status(42)

    assert job.exit_status == 42


# The second verdict


@pytest.mark.parametrize("second", VERDICTS)
@pytest.mark.parametrize("first", VERDICTS.keys() - {"given back", "declined"})
def test_a_second_verdict_changes_nothing(job, told, first, second):
    VERDICTS[first](job)
    before = rows()

    counted = VERDICTS[second](job)

    assert counted is False
    assert rows() == before
    assert len(told) == 1


def test_a_coroutine_may_complete_a_copy_of_its_job(client):
    @register
    class CompleteACopy(Worker):
        keep_exit_status_for = 60

        async def work(self, job):
            copy.copy(job).completed()

    client.can_do("CompleteACopy")
    handle = client.dispatch_async("CompleteACopy")

    client.work_until_done()

    assert handle.exit_status == 0
