"""Who performs which job, since when and until when. After t/scoreboard.t."""

import re

import pytest

from django_schwartz import Worker, register
from django_schwartz.fields import unix_seconds
from django_schwartz.identity import process_name
from django_schwartz.models import Error, ExitStatus, Job


@pytest.fixture
def seen():
    """The row of each job while it was performed."""
    return []


@pytest.fixture(autouse=True)
def _count(client, seen):
    @register
    class Count(Worker):
        grab_for = 600
        keep_exit_status_for = 3600

        def work(self, job):
            seen.append(Job.objects.get(pk=job.pk))
            job.completed()

    client.can_do(Count)


def test_a_job_tells_which_process_performs_it(client, dialect, seen):
    client.dispatch_async("Count", {"numbers": [1, 2]})

    client.work_once()

    here = re.escape(f"{process_name()}:")
    assert re.fullmatch(here + r"\d+", seen[0].grabbed_by)


def test_every_grab_has_its_own_number(client, dialect, seen):
    client.dispatch_jobs([Job(funcname="Count"), Job(funcname="Count")])

    client.work_until_done()

    assert seen[0].grabbed_by != seen[1].grabbed_by


def test_a_job_tells_until_when_it_is_held_and_so_since_when(client, dialect, seen):
    client.dispatch_async("Count")
    before = client.get_server_time()

    client.work_once()

    since = unix_seconds(seen[0].grabbed_until) - 600
    assert before <= since <= client.get_server_time()


def test_a_job_tells_what_it_is_about(client, seen):
    client.dispatch_async("Count", {"numbers": [1, 2]})

    client.work_once()

    assert seen[0].funcname == "Count"
    assert seen[0].arg == {"numbers": [1, 2]}


def test_a_job_that_waits_tells_of_nobody(client):
    job = client.dispatch_async("Count").job

    assert job.grabbed_by is None
    assert job.grabbed_until is None
    assert job.started_at is None


def test_afterwards_the_exit_status_keeps_who_performed_it(client, dialect, seen):
    handle = client.dispatch_async("Count")

    client.work_once()

    assert ExitStatus.objects.get(pk=handle.jobid).worker_id == seen[0].grabbed_by


def test_afterwards_the_exit_status_keeps_when_and_how_long_it_was_performed(client, dialect):
    handle = client.dispatch_async("Count")
    before = client.get_server_time()

    client.work_once()

    kept = ExitStatus.objects.get(pk=handle.jobid)
    assert before <= kept.started_at.timestamp() < client.get_server_time() + 1
    assert 0 <= kept.runtime < 60


def test_a_job_that_failed_and_waits_for_its_retry_is_held_by_nobody(client):
    @register
    class Fail(Worker):
        max_retries = 1

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Fail")
    client.can_do(Fail)

    client.work_once()

    assert not Job.objects.grabbed().exists()
    assert handle.job.started_at is not None


def test_the_error_keeps_who_failed(client):
    @register
    class Fail(Worker):
        def work(self, job):
            job.failed(job.grabbed_by)

    client.dispatch_async("Fail")
    client.can_do(Fail)

    client.work_once()

    error = Error.objects.get()
    assert error.worker_id == error.message
