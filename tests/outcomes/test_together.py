"""Outcomes that are recorded together keep as much of each job as one that is recorded alone."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.models import ExitStatus, Job, Outcome, Verdict
from django_schwartz.models.outcome import settle_together
from tests.rows import lease_elsewhere


class Waiting:
    """A holder, which leaves the outcomes to the test."""

    def __init__(self):
        self.settlements = []

    def record(self, job, outcome):
        self.settlements.append((job, outcome))
        return True

    def stop_renewing(self, jobs):
        pass

    def finish_recording(self, job):
        pass


@pytest.fixture
def grab(client):
    @register
    class Kept(Worker):
        keep_exit_status_for = 60

        def work(self, job):
            job.completed()

    def grab():
        client.dispatch_async("Kept", {"n": 1}, priority=3, queue_name="mail", meta={"by": "ann"})
        job = client.find_job_for_workers(["Kept"])
        job.begin()
        return job

    return grab


def kept_of(job):
    row = ExitStatus.objects.filter(pk=job.jobid).values().get()
    moments = ("completion_time", "delete_after")
    return {name: value for name, value in row.items() if name not in moments}


def test_it_keeps_the_result_and_the_times(grab, database):
    waiting = Waiting()
    jobs = [grab(), grab()]
    for number, job in enumerate(jobs):
        job.holder = waiting
        job.completed({"n": number})

    gone = settle_together(database, waiting.settlements)

    assert gone == {job.jobid for job in jobs}
    assert not Job.objects.exists()
    for number, job in enumerate(jobs):
        kept = kept_of(job)
        assert kept == {
            "jobid": job.jobid,
            "func_id": job.funcid,
            "status": 0,
            "arg": b'{"n":1}',
            "uniqkey": None,
            "coalesce": None,
            "priority": 3,
            "queue_name": "mail",
            "insert_time": job.insert_time,
            "run_after": job.run_after,
            "scheduled_for": None,
            "dispatched_at": job.dispatched_at,
            "grabbed_at": job.grabbed_at,
            "started_at": job.grabbed_at,
            "completed_at": job.completed_at,
            "runtime": pytest.approx(job.runtime),
            "worker_id": job.grabbed_by,
            "result": {"n": number},
            "meta": {"by": "ann"},
        }
        assert job.grabbed_at <= job.completed_at


def test_it_takes_the_place_of_an_exit_status_that_was_set_before(grab, database):
    waiting = Waiting()
    job = grab()
    job.set_exit_status(7)
    job.holder = waiting
    job.completed("done")

    settle_together(database, waiting.settlements)

    kept = kept_of(job)
    assert (kept["status"], kept["result"]) == (0, "done")
    assert kept["completed_at"] == job.completed_at is not None


def test_a_verdict_that_comes_too_late_leaves_no_result(grab, database):
    waiting = Waiting()
    job = grab()
    job.holder = waiting
    job.permanent_failure("no")
    job.completed("done")

    settle_together(database, waiting.settlements)

    assert (kept_of(job)["status"], kept_of(job)["result"]) == (1, None)


@pytest.mark.parametrize("keep_for", [0, 60])
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_those_that_left_are_told_of(grab, database, lost, keep_for):
    jobs = [grab() for _ in range(3)]
    for job in jobs[:lost]:
        lease_elsewhere(job)
    outcome = Outcome(verdict=Verdict.COMPLETED, exit_status=0, keep_for=keep_for)

    gone = settle_together(database, [(job, outcome) for job in jobs])

    assert gone == {job.jobid for job in jobs[lost:]}
    assert Job.objects.count() == lost
    assert ExitStatus.objects.count() == (len(gone) if keep_for else 0)
