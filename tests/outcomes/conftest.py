"""A job that is held, a worker made of a function, and what is told of them."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Job
from django_schwartz.signals import job_finished, lease_lost
from tests.rows import come_due


@pytest.fixture
def task():
    """The worker of the job: one retry, after a minute."""

    @register
    class Task(Worker):
        max_retries = 1
        retry_delay = 60
        keep_exit_status_for = 600
        grab_for = 600

    return Task


@pytest.fixture
def job(client, task):
    """A job that is held, with something in every field; another like it waits beside it."""
    fields = {"arg": {"to": "a"}, "coalesce": "c", "priority": 3, "run_after": 1_700_000_000}
    client.dispatch_async("Task", uniqkey="first", **fields)
    client.dispatch_async("Task", uniqkey="second", **fields)
    return client.find_job_for_workers([task])


@pytest.fixture
def last_attempt(client, job):
    """The same job on its second and last attempt."""
    job.failed("once")
    come_due(job.handle)
    Job.objects.exclude(pk=job.pk).update(grabbed_until=ServerTime() + 600)
    return client.find_job_for_workers(["Task"])


@pytest.fixture
def perform(client):
    """Have a job performed by a worker with this work and these attributes; give its handle."""

    def perform(work, *, arg=None, **attributes):
        attributes = {"keep_exit_status_for": 600, **attributes}
        register(type("Once", (Worker,), {**attributes, "work": lambda self, job: work(job)}))
        client.can_do("Once")
        handle = client.dispatch_async("Once", arg)
        assert client.work_once() is True
        return handle

    return perform


@pytest.fixture
def told():
    """What was told of outcomes, in turn: "finished" or "lost", and the job."""
    signals = []

    def finished(*, job, **_):
        signals.append(("finished", job))

    def lost(*, job, **_):
        signals.append(("lost", job))

    job_finished.connect(finished)
    lease_lost.connect(lost)
    yield signals
    job_finished.disconnect(finished)
    lease_lost.disconnect(lost)
