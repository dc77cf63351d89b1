"""Of the jobs performed together, the current one fails. After t/fail-working-multiple.t."""

import pytest
from django.db import transaction

from django_schwartz import Worker, register
from django_schwartz.models import Error, Job
from django_schwartz.worker import current_job
from tests.rows import come_due, lease_elsewhere

NO_VERDICT = "Job did not explicitly complete, fail, or get replaced"


@pytest.fixture
def perform(client):
    """Have jobs with the coalesces a1, a2 ... performed by a work(); give their handles."""

    def perform_with(work, *, jobs=2):
        @register
        class Gather(Worker):
            keep_exit_status_for = 20
            max_retries = 1
            retry_delay = 10

            def work(self, job):
                work(job)

        handles = [client.dispatch_async("Gather", coalesce=f"a{n}") for n in range(1, jobs + 1)]
        client.can_do(Gather)
        client.work_once(client.find_job_with_coalescing_value(Gather, "a1"))
        return handles

    return perform_with


@pytest.fixture
def grab(client):
    """Grab the job with that coalesce."""
    return lambda coalesce: client.find_job_with_coalescing_value("Gather", coalesce)


def test_an_exception_fails_the_current_job_and_not_the_first(perform, grab):
    def work(job):
        job.completed()
        grab("a2").set_as_current()
        raise RuntimeError("Failed working on job2")

    first, second = perform(work)

    assert first.failures == 0
    assert first.exit_status == 0
    assert second.failures == 1
    assert second.failure_log == ["RuntimeError: Failed working on job2"]


def test_the_current_job_is_retried_as_its_worker_says(perform, grab):
    def work(job):
        job.completed()
        grab("a2").set_as_current()
        raise RuntimeError

    _, second = perform(work)

    job = second.job
    assert job.grabbed_until is None
    assert Job.objects.delayed().get() == job


def test_the_traceback_is_kept_with_the_current_job(perform, grab):
    def work(job):
        job.completed()
        grab("a2").set_as_current()
        raise RuntimeError("here")

    _, second = perform(work)

    error = Error.objects.get(jobid=second.jobid)
    assert error.exception == "builtins.RuntimeError"
    assert 'raise RuntimeError("here")' in error.traceback


def test_the_policy_of_the_current_jobs_own_worker_holds(client, perform):
    @register
    class Other(Worker):
        keep_exit_status_for = 20

    other = client.dispatch_async("Other", coalesce="b")

    def work(job):
        job.completed()
        client.find_job_with_coalescing_value(Other, "b").set_as_current()
        raise RuntimeError("no retry for this one")

    perform(work)

    assert not other.is_pending
    assert other.exit_status == 1


def test_a_first_job_that_was_not_finished_is_given_back_without_a_failure(perform, grab):
    def work(job):
        grab("a2").set_as_current()
        raise RuntimeError

    first, second = perform(work)

    assert second.failures == 1
    assert first.failures == 0
    assert first.job.grabbed_until is None
    assert Job.objects.due().get().handle == first


def test_jobs_that_the_worker_holds_besides_are_given_back_without_a_failure(perform, grab):
    def work(job):
        grab("a2")
        grab("a3").completed()
        raise RuntimeError("of the first")

    first, second, third = perform(work, jobs=3)

    assert first.failure_log == ["RuntimeError: of the first"]
    assert second.failures == 0
    assert second.job.grabbed_until is None
    assert third.exit_status == 0


def test_a_worker_that_returns_without_a_word_has_failed_each_job_that_it_holds(perform, grab):
    def work(job):
        grab("a2").set_as_current()
        grab("a3").completed()

    first, second, third = perform(work, jobs=3)

    assert first.failure_log == [NO_VERDICT]
    assert second.failure_log == [NO_VERDICT]
    assert third.failure_log == []


def test_what_was_said_before_the_exception_stands(perform, grab):
    def work(job):
        job.completed()
        second = grab("a2")
        second.set_as_current()
        second.permanent_failure("in so many words", 7)
        raise RuntimeError("in vain")

    first, second = perform(work)

    assert first.exit_status == 0
    assert second.exit_status == 7
    assert second.failure_log == ["in so many words"]


def test_an_exception_fails_the_first_job_when_the_current_one_has_its_verdict(perform, grab):
    def work(job):
        second = grab("a2")
        second.set_as_current()
        second.completed()
        raise RuntimeError("of the first")

    first, second = perform(work)

    assert second.exit_status == 0
    assert first.failure_log == ["RuntimeError: of the first"]


def test_an_exception_fails_the_first_job_when_the_grab_of_the_current_one_is_rolled_back(
    perform, grab
):
    def work(job):
        with transaction.atomic(using=job.alias):
            grab("a2").set_as_current()
            raise RuntimeError("of the first")

    first, second = perform(work)

    assert second.failures == 0
    assert second.is_pending
    assert first.failure_log == ["RuntimeError: of the first"]


def test_an_exception_fails_the_first_job_when_the_current_one_is_lost(perform, grab):
    def work(job):
        grab("a2").set_as_current()
        lease_elsewhere(current_job().handle)
        raise RuntimeError("of the first")

    first, second = perform(work)

    assert second.failures == 0
    assert first.failure_log == ["RuntimeError: of the first"]


@pytest.mark.parametrize("junk", ["junk", float("nan"), float("inf"), [1]])
def test_a_job_whose_lease_its_worker_overwrote_costs_the_others_nothing(perform, grab, junk):
    def work(job):
        second = grab("a2")
        second.grabbed_until = junk
        second.set_as_current()
        grab("a3")
        raise RuntimeError("of the first")

    first, second, third = perform(work, jobs=3)

    assert first.failure_log == ["RuntimeError: of the first"]
    assert second.failures == 0
    assert third.job.grabbed_until is None


def test_an_exception_fails_no_job_that_nobody_grabbed(client, perform):
    other = client.dispatch_async("Gather", coalesce="b")

    def work(job):
        other.job.set_as_current()
        raise RuntimeError("of the first")

    first, _ = perform(work)

    assert other.failures == 0
    assert first.failure_log == ["RuntimeError: of the first"]


def test_an_exception_fails_no_job_that_was_never_dispatched(perform):
    def work(job):
        Job(funcname="Gather").set_as_current()
        raise RuntimeError("of the first")

    first, _ = perform(work)

    assert first.failure_log == ["RuntimeError: of the first"]


def test_a_declined_job_of_the_group_stays_declined(perform, grab):
    def work(job):
        job.completed()
        grab("a2").declined()

    _, second = perform(work)

    assert second.failures == 0
    assert second.job.grabbed_until is not None


def test_the_current_job_is_what_the_worker_made_current(client, perform, grab):
    seen = []

    def work(job):
        seen.append(client.current_job.coalesce)
        job.completed()
        second = grab("a2")
        seen.append(client.current_job.coalesce)
        second.set_as_current()
        seen.append(client.current_job.coalesce)
        second.completed()

    perform(work)

    assert seen == ["a1", "a1", "a2"]


def test_there_is_no_current_job_after_the_work(client, perform, grab):
    perform(lambda job: grab("a2").set_as_current())

    assert client.current_job is None
    assert current_job() is None


def test_the_second_job_is_performed_by_itself_when_its_turn_comes(client, perform, grab):
    attempts = []

    def work(job):
        attempts.append(job.coalesce)
        job.completed()
        if len(attempts) == 1:
            grab("a2").set_as_current()
            raise RuntimeError

    _, second = perform(work)
    come_due(second)

    client.work_until_done()

    assert attempts == ["a1", "a2"]
    assert second.exit_status == 0


def test_exit_of_the_interpreter_fails_the_current_job_alone(perform, grab):
    def work(job):
        job.completed()
        grab("a2").set_as_current()
        raise SystemExit(3)

    first, second = perform(work)

    assert first.exit_status == 0
    assert second.failure_log == ["SystemExit: 3"]
