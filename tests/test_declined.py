"""A worker hands a job back without a failure. After t/declined.t."""

from datetime import UTC, datetime, timedelta

import pytest

from django_schwartz import Worker, register, signals
from django_schwartz.dialects import ServerTime
from django_schwartz.fields import unix_seconds
from django_schwartz.models import Error, ExitStatus, Job
from tests.rows import come_due, end_lease, lease_elsewhere, row_of, rows, server_moment

SECOND = timedelta(seconds=1)


class Decline(Worker):
    """Declines its job with the arguments that the test gives."""

    keep_exit_status_for = 20
    grab_for = 60
    max_retries = 2
    retry_delay = 900
    arguments = ()

    def work(self, job):
        job.declined(*self.arguments)


@pytest.fixture(autouse=True)
def _worker(monkeypatch):
    register(Decline)
    monkeypatch.setattr(Decline, "arguments", ())


@pytest.fixture
def job(client):
    """A job of Decline that this process holds."""
    client.dispatch_async("Decline", "kibble")
    return Decline.grab_job(client)


@pytest.fixture
def lost():
    """The jobs whose lease is told to be lost."""
    jobs = []

    def receive(*, job, **_):
        jobs.append(job)

    signals.lease_lost.connect(receive)
    yield jobs
    signals.lease_lost.disconnect(receive)


# Until the lease ends


def test_a_declined_job_stays_queued_without_a_failure(client):
    handle = client.dispatch_async("Decline")
    client.can_do(Decline)

    client.work_until_done()

    assert handle.is_pending
    assert handle.failures == 0
    assert handle.exit_status is None


def test_a_declined_job_is_held_for_as_long_as_its_lease_lasts(client):
    handle = client.dispatch_async("Decline")
    client.can_do(Decline)

    client.work_once()

    assert Decline.grab_job(client) is None
    lease = unix_seconds(handle.job.grabbed_until) - client.get_server_time()
    assert 50 < lease <= 60


def test_a_declined_job_can_be_grabbed_when_the_lease_ends(client, dialect):
    handle = client.dispatch_async("Decline")
    client.can_do(Decline)
    client.work_once()

    end_lease(handle)

    assert Decline.grab_job(client).handle == handle


@pytest.mark.parametrize("arguments", [(), (None,), (0,)], ids=["nothing", "None", "0"])
def test_declining_with_no_time_writes_only_that_the_end_of_the_lease_is_no_crash(job, arguments):
    before = row_of(job.handle)

    declined = job.declined(*arguments)

    assert declined is True
    assert row_of(job.handle) == {**before, "grabbed_by": None}


# Until a time


def test_jobs_declined_until_a_time_come_back_then(client, dialect):
    handles = [client.dispatch_async("Decline", n) for n in range(5)]
    Decline.arguments = (timedelta(hours=1),)
    client.can_do(Decline)

    worked = [client.work_once() for _ in range(6)]
    come_due(*handles)
    again = [Decline.grab_job(client) for _ in range(5)]

    assert worked == [True, True, True, True, True, False]
    assert sorted(job.arg for job in again) == [0, 1, 2, 3, 4]
    assert Decline.grab_job(client) is None
    assert not Error.objects.exists()


def test_a_job_declined_until_a_time_is_held_by_nobody(job):
    job.declined(timedelta(hours=1))

    row = row_of(job.handle)
    assert row["grabbed_until"] is None
    assert Job.objects.delayed().count() == 1


@pytest.mark.parametrize(
    "run_after",
    [4_102_531_200, 4_102_531_199.5, datetime(2100, 1, 2, tzinfo=UTC)],
    ids=["seconds", "part of a second", "datetime"],
)
def test_the_time_may_be_given_as_for_a_dispatch(job, run_after):
    job.declined(run_after)

    assert row_of(job.handle)["run_after"] == datetime(2100, 1, 2, tzinfo=UTC)


def test_the_time_may_be_told_from_the_servers_now(client, job):
    job.declined(timedelta(minutes=5))

    delay = unix_seconds(row_of(job.handle)["run_after"]) - client.get_server_time()
    assert 290 < delay <= 301


@pytest.mark.parametrize("delay", [timedelta(seconds=1), timedelta(minutes=5)], ids=str)
def test_the_job_comes_no_moment_before_its_time(database, dialect, job, delay):
    before = server_moment(database)

    job.declined(delay)

    assert row_of(job.handle)["run_after"] >= before + delay


@pytest.mark.parametrize("run_after", [timedelta.max, 2**70], ids=["timedelta", "seconds"])
def test_a_time_beyond_the_calendar_is_the_calendars_end(job, run_after):
    job.declined(run_after)

    assert row_of(job.handle)["run_after"].year > 2300


@pytest.mark.parametrize(
    "passed",
    [1, datetime(2001, 1, 1, tzinfo=UTC), timedelta(0), timedelta(milliseconds=5), -timedelta(1)],
    ids=["seconds", "datetime", "no time", "a moment", "a day ago"],
)
def test_a_time_that_has_passed_makes_it_due_in_a_second(database, dialect, job, passed):
    before = server_moment(database)

    job.declined(passed)

    after = server_moment(database)
    assert before + SECOND <= row_of(job.handle)["run_after"] <= after + 2 * SECOND


def test_a_worker_that_always_declines_does_not_keep_the_others_from_their_jobs(client):
    client.dispatch_async("Decline")
    Decline.arguments = (1,)
    client.can_do(Decline)

    worked = [client.work_once() for _ in range(2)]

    assert worked == [True, False]


@pytest.mark.parametrize("run_after", ["tomorrow", object()], ids=["text", "object"])
def test_what_is_no_time_is_refused(job, run_after):
    before = rows()

    with pytest.raises(TypeError):
        job.declined(run_after)

    assert rows() == before
    assert job.completed() is True


def test_what_the_worker_left_in_the_job_is_kept_for_the_next_attempt(job):
    job.arg = {"done": 3}
    job.priority = 5

    job.declined(1)

    assert job.handle.job.arg == {"done": 3}
    assert job.handle.job.priority == 5


def test_an_arg_that_nobody_changed_stays_byte_for_byte(client):
    stored = b'{"spaced" :  1}'
    handle = client.dispatch_async("Decline", stored)
    job = Decline.grab_job(client)
    assert job.arg == {"spaced": 1}

    job.declined(1)

    assert Job.objects.filter(pk=handle.jobid, arg=stored).exists()


# No verdict


def test_declining_is_no_verdict(job):
    job.declined(timedelta(hours=1))

    assert job.did_something is False
    assert job.failures == 0
    assert not ExitStatus.objects.exists()


@pytest.mark.parametrize("arguments", [(), (4_102_444_800,)], ids=["no time", "a time"])
def test_a_job_that_was_declined_may_still_be_completed(job, arguments):
    job.declined(*arguments)

    completed = job.completed()

    assert completed is True
    assert job.exit_status == 0


@pytest.mark.parametrize("arguments", [(), (4_102_444_800,)], ids=["no time", "a time"])
def test_an_exception_after_declining_is_a_failure(client, arguments):
    @register
    class DeclineAndRaise(Decline):
        def work(self, job):
            job.declined(*arguments)
            raise RuntimeError("after all")

    handle = client.dispatch_async("DeclineAndRaise")
    client.can_do(DeclineAndRaise)

    client.work_once()

    assert handle.failure_log == ["RuntimeError: after all"]
    assert handle.job.grabbed_until is None
    assert unix_seconds(handle.job.run_after) > client.get_server_time() + 800


# Who may decline


def settle(job, verdict):
    verdicts = {
        "completed": job.completed,
        "retried": lambda: job.failed("try again"),
        "failed": lambda: job.permanent_failure("never"),
        "replaced": job.replace_with,
    }
    verdicts[verdict]()


@pytest.mark.parametrize("arguments", [(), (1,)], ids=["no time", "a time"])
@pytest.mark.parametrize("verdict", ["completed", "retried", "failed", "replaced"])
def test_declining_a_job_that_has_its_verdict_changes_nothing(job, verdict, arguments):
    settle(job, verdict)
    before = rows()

    declined = job.declined(*arguments)

    assert declined is False
    assert rows() == before
    assert job.did_something is True


def test_declining_a_job_that_has_its_verdict_is_no_lost_lease(job, lost):
    job.failed("try again")

    job.declined(1)

    assert lost == []


@pytest.mark.parametrize("arguments", [(), (1,)], ids=["no time", "a time"])
def test_declining_a_job_that_another_holds_by_now_leaves_it_to_him(job, lost, arguments):
    lease_elsewhere(job.handle)
    before = rows()

    declined = job.declined(*arguments)

    assert declined is False
    assert rows() == before
    assert lost == [job]


def test_declining_twice_moves_the_time(client, job):
    job.declined(timedelta(hours=1))

    job.declined(timedelta(hours=2))

    assert Job.objects.filter(run_after__gt=ServerTime() + 7000).exists()
