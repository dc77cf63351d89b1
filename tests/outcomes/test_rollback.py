"""A verdict counts if its transaction commits, and never if that is rolled back."""

import pytest
from django.db import transaction

from django_schwartz import Worker, register
from django_schwartz.models import Job
from tests.outcomes.verdicts import VERDICTS
from tests.rows import rows


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_that_is_rolled_back_does_not_count(job, database, verdict):
    before = rows()

    with transaction.atomic(using=database):
        VERDICTS[verdict](job)
        transaction.set_rollback(True, using=database)

    assert rows() == before
    assert job.did_something is False
    assert job.has_verdict is False


@pytest.mark.parametrize("second", VERDICTS)
@pytest.mark.parametrize("first", VERDICTS)
def test_after_a_verdict_was_rolled_back_another_counts(job, database, told, first, second):
    with transaction.atomic(using=database):
        VERDICTS[first](job)
        transaction.set_rollback(True, using=database)
    told.clear()

    counted = VERDICTS[second](job)

    assert counted is True
    assert [signal[0] for signal in told] == ["finished"]


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_in_a_savepoint_that_is_rolled_back_does_not_count(job, database, verdict):
    with transaction.atomic(using=database):
        with transaction.atomic(using=database):
            VERDICTS[verdict](job)
            transaction.set_rollback(True, using=database)
        counted = job.completed()

    assert counted is True
    assert not job.handle.is_pending


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_worker_whose_verdict_was_rolled_back_has_failed(perform, database, verdict):
    def work(job):
        with transaction.atomic(using=database):
            VERDICTS[verdict](job)
            raise RuntimeError("rolled back")

    register(type("Task", (Worker,), {}))

    handle = perform(work, max_retries=1)

    assert handle.failure_log == ["RuntimeError: rolled back"]
    assert handle.job.grabbed_until is None
    assert Job.objects.count() == 1


def test_a_worker_that_goes_on_after_its_verdict_was_rolled_back_has_said_nothing(
    perform, database
):
    def work(job):
        with transaction.atomic(using=database):
            job.completed()
            transaction.set_rollback(True, using=database)

    handle = perform(work)

    assert handle.exit_status == 1
    assert handle.failure_log == ["Job did not explicitly complete, fail, or get replaced"]


def test_a_verdict_in_a_transaction_that_commits_counts_with_what_was_written(
    client, perform, database
):
    def work(job):
        with transaction.atomic(using=database):
            client.dispatch_async("Next")
            job.completed()

    handle = perform(work)

    assert handle.exit_status == 0
    assert len(client.list_jobs("Next")) == 1
