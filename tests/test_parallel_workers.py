"""Many workers share a queue, and each job is performed once. After t/parallel-workers.t."""

import threading
from contextlib import suppress

import pytest

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Error, ExitStatus, Job
from tests.app.models import Trace
from tests.rows import lease_elsewhere
from tests.threads import in_threads


def test_four_processes_perform_forty_jobs_once_each(client, manage):
    handles = client.dispatch_jobs([Job(funcname="Note", arg=number) for number in range(40)])

    processes = [manage("runschwartz", "--until-done") for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0, 0], outputs
    assert sorted(Trace.objects.values_list("jobid", flat=True)) == [h.jobid for h in handles]
    assert ExitStatus.objects.filter(status=0).count() == 40
    assert not Job.objects.exists()
    assert not Error.objects.exists()


@pytest.fixture
def race(dialect, monkeypatch):
    """Two workers take jobs only after both have read candidates. Counts how often they did."""
    raced = []
    start = threading.Barrier(2, action=lambda: raced.append(True), timeout=20)

    def wait_for_the_other():
        with suppress(threading.BrokenBarrierError):
            start.wait()

    monkeypatch.setattr(dialect, "after_select", wait_for_the_other)
    return start, raced


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_two_workers_that_race_for_every_job_perform_each_once(client, race):
    start, raced = race
    performed = []

    @register
    class Count(Worker):
        def work(self, job):
            performed.append(job.jobid)
            job.completed()

    handles = client.dispatch_jobs([Job(funcname="Count") for _ in range(40)])

    def work():
        worker = TheSchwartz(batch_size=2)
        worker.can_do("Count")
        worker.work_until_done()
        start.abort()

    in_threads(work, work)

    assert len(raced) >= 20
    assert sorted(performed) == [handle.jobid for handle in handles]
    assert not Job.objects.exists()
    assert not Error.objects.exists()


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_of_two_that_read_the_same_job_one_gets_it(client, race):
    client.dispatch_async("Note")
    _, raced = race

    def grab():
        return TheSchwartz().find_job_for_workers(["Note"])

    found = in_threads(grab, grab)

    assert len(raced) == 1
    assert sorted(job is None for job in found) == [False, True]
    assert Job.objects.get().grabs == 1


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_a_worker_to_whom_every_candidate_was_lost_looks_again(client, dialect, monkeypatch):
    first, second, third = client.dispatch_jobs([Job(funcname="Note") for _ in range(3)])

    def lose_both():
        lease_elsewhere(first)
        lease_elsewhere(second)

    monkeypatch.setattr(dialect, "after_select", lose_both)

    job = TheSchwartz(batch_size=2).find_job_for_workers(["Note"])

    assert job.handle == third


def test_eight_that_grab_at_once_get_different_jobs(client, dialect):
    client.dispatch_jobs([Job(funcname="Note") for _ in range(8)])
    start = threading.Barrier(8, timeout=20)

    def grab():
        start.wait()
        return TheSchwartz().find_job_for_workers(["Note"]).jobid

    got = in_threads(*[grab] * 8)

    assert len(set(got)) == 8
