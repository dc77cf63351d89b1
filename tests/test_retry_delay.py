"""A failed job is tried again, after its delay. After t/retry-delay.t."""

from datetime import timedelta

import pytest

from django_schwartz import Worker, register
from django_schwartz.fields import unix_seconds
from tests.rows import come_due, server_moment


@pytest.fixture
def asked():
    """The numbers of failures that the worker's delay was asked for."""
    return []


@pytest.fixture(autouse=True)
def _flaky(client, asked):
    @register
    class Flaky(Worker):
        """Fail twice, then complete. The first retry comes after 20 seconds, the second at once."""

        max_retries = 2
        keep_exit_status_for = 600

        def get_retry_delay(self, failures):
            asked.append(failures)
            return [None, 20, 0][failures]

        def work(self, job):
            if job.failures < 2:
                raise RuntimeError(f"attempt {job.failures + 1}")
            job.completed()

    client.can_do(Flaky)


def test_the_retry_waits_for_its_delay(client, dialect):
    handle = client.dispatch_async("Flaky")
    before = client.get_server_time()

    client.work_once()

    after = client.get_server_time()
    assert handle.failures == 1
    assert before + 20 <= unix_seconds(handle.job.run_after) <= after + 21
    assert client.work_once() is False


@pytest.mark.parametrize("delay", [0.25, 1, 20])
def test_the_retry_comes_no_moment_before_its_delay(client, database, dialect, delay):
    @register
    class Punctual(Worker):
        max_retries = 1
        retry_delay = delay

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Punctual")
    client.can_do(Punctual)
    before = server_moment(database)

    client.work_once()

    assert handle.job.run_after >= before + timedelta(seconds=delay)


def test_the_job_is_nobodys_while_it_waits(client, dialect):
    handle = client.dispatch_async("Flaky")

    client.work_once()

    assert handle.is_pending
    assert handle.job.grabbed_until is None


def test_a_delay_of_0_lets_the_retry_come_at_once(client, dialect):
    handle = client.dispatch_async("Flaky")
    client.work_once()
    come_due(handle)

    client.work_once()

    assert handle.failures == 2
    assert client.find_job_for_workers() is not None


def test_the_attempt_that_succeeds_completes_the_job(client, dialect):
    handle = client.dispatch_async("Flaky")
    client.work_once()
    come_due(handle)

    client.work_until_done()

    assert not handle.is_pending
    assert handle.exit_status == 0
    assert handle.failure_log == ["RuntimeError: attempt 1", "RuntimeError: attempt 2"]


def test_the_delay_is_asked_for_with_the_number_of_failures(client, asked):
    handle = client.dispatch_async("Flaky")
    client.work_once()
    come_due(handle)

    client.work_until_done()

    assert asked == [1, 2]


def test_an_attribute_says_the_delay_where_there_is_no_hook(client):
    @register
    class Steady(Worker):
        max_retries = 1
        retry_delay = 0.5

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Steady")
    client.can_do(Steady)
    before = client.get_server_time()

    client.work_once()

    assert unix_seconds(handle.job.run_after) >= before + 1


def test_a_negative_delay_puts_the_retry_before_what_waits_longer(client):
    @register
    class Eager(Worker):
        max_retries = 1
        retry_delay = -1000

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Eager")
    client.can_do(Eager)
    before = client.get_server_time()

    client.work_once()

    assert unix_seconds(handle.job.run_after) <= before - 990


def test_without_a_delay_run_after_stays_as_it_was(client):
    @register
    class Instant(Worker):
        max_retries = 1

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Instant", run_after=1_000_000_000)
    client.can_do(Instant)

    client.work_once()

    assert unix_seconds(handle.job.run_after) == 1_000_000_000


def test_three_retries_are_four_attempts(client):
    attempts = []

    @register
    class Hopeless(Worker):
        max_retries = 3

        def work(self, job):
            attempts.append(job.failures)
            job.failed()

    handle = client.dispatch_async("Hopeless")
    client.can_do(Hopeless)

    client.work_until_done()

    assert attempts == [0, 1, 2, 3]
    assert not handle.is_pending
    assert handle.failures == 4


def test_a_job_may_decide_how_often_it_is_retried(client):
    @register
    class Modest(Worker):
        max_retries = 9

        def get_max_retries(self, job):
            return job.arg

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Modest", 1)
    client.can_do(Modest)

    client.work_until_done()

    assert handle.failures == 2


def test_by_default_there_is_no_retry(client):
    @register
    class Once(Worker):
        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Once")
    client.can_do(Once)

    client.work_until_done()

    assert not handle.is_pending
    assert handle.failures == 1


def test_the_retry_finds_the_arg_as_the_attempt_left_it(client):
    @register
    class Resume(Worker):
        max_retries = 1

        def work(self, job):
            if job.arg["done"] == 2:
                return job.completed()
            job.arg["done"] = 2
            raise RuntimeError("interrupted")

    handle = client.dispatch_async("Resume", {"done": 0})
    client.can_do(Resume)

    client.work_until_done()

    assert not handle.is_pending
    assert handle.failures == 1
