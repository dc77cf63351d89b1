"""What becomes of the jobs of a dead process: given back, charged, or kept as suspects."""

import os
import socket
import time
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connections

from django_schwartz import Worker, register
from django_schwartz.aftermath import Aftermath
from django_schwartz.dialects import ServerTime
from django_schwartz.engine import Entry
from django_schwartz.identity import process_name
from django_schwartz.models import Job
from django_schwartz.signals import job_finished
from tests.rows import lease_elsewhere, row_of


@pytest.fixture
def aftermath(database):
    return Aftermath([database], lease_seconds=60)


@pytest.fixture
def entry(client, database):
    """Dispatch and grab a job, and give its entry in the ledger of its holder, which died."""

    @register
    class Held(Worker):
        pass

    def entry(*, has_begun):
        client.dispatch_async("Held")
        job = client.find_job_for_workers(["Held"])
        return Entry(job.jobid, database, job.grabs, job.leases, has_begun)

    return entry


def row(entry):
    return Job.objects.get(pk=entry.jobid)


def test_the_one_job_that_it_performed_is_charged_and_free_at_once(aftermath, entry):
    one = entry(has_begun=True)

    aftermath.of_death([one], "signal 9 (SIGKILL)")

    assert row(one).failure_log == ["The worker died: signal 9 (SIGKILL)."]
    assert row(one) in Job.objects.due()
    assert not aftermath.has_suspects


def test_jobs_that_it_had_not_begun_are_free_at_once_and_not_charged(aftermath, entry):
    begun, waiting = entry(has_begun=True), entry(has_begun=False)

    aftermath.of_death([begun, waiting], "exit code 3")

    assert row(waiting) in Job.objects.due()
    assert row(waiting).failures == 0
    assert row(begun).failures == 1


def test_of_several_jobs_none_is_charged_and_each_is_kept_for_us(aftermath, entry):
    several = [entry(has_begun=True) for _ in range(3)]

    aftermath.of_death(several, "exit code 3")

    assert [row(one).failures for one in several] == [0, 0, 0]
    assert not Job.objects.due().exists()
    suspects = [aftermath.next_suspect() for _ in range(3)]
    assert [suspect.jobid for suspect in suspects] == [one.jobid for one in several]
    assert Job.objects.held(suspects).count() == 3
    assert aftermath.next_suspect() is None


def test_of_a_silent_process_not_even_one_job_is_charged(aftermath, entry):
    begun, waiting = entry(has_begun=True), entry(has_begun=False)

    aftermath.of_silence([begun, waiting])

    assert [row(one).failures for one in (begun, waiting)] == [0, 0]
    assert [job.pk for job in Job.objects.due()] == [waiting.jobid]
    assert aftermath.next_suspect().jobid == begun.jobid
    assert not aftermath.has_suspects


def test_suspects_that_are_abandoned_are_free(aftermath, entry):
    several = [entry(has_begun=True) for _ in range(3)]
    aftermath.of_death(several, "exit code 3")

    aftermath.abandon()

    assert Job.objects.due().count() == 3


@pytest.mark.parametrize("number", [1, 2])
def test_what_another_took_meanwhile_is_left_to_that_one(aftermath, entry, number):
    entries = [entry(has_begun=True) for _ in range(number)]
    lease_elsewhere(row(entries[0]).handle)
    before = row_of(row(entries[0]).handle)

    aftermath.of_death(entries, "exit code 3")

    assert row_of(row(entries[0]).handle) == before
    assert row(entries[0]).failures == 0


def test_a_grab_of_its_that_it_never_heard_of_is_given_back_and_no_other(
    aftermath, client, database
):
    register(type("Held", (Worker,), {}))
    client.dispatch_jobs([Job(funcname="Held") for _ in range(2)])
    mine = client.find_job_for_workers(["Held"])
    other = client.find_job_for_workers(["Held"])
    host, pid, _, number = mine.grabbed_by.rsplit(":", 3)

    aftermath.give_back_grab(int(pid), int(number), [database])

    assert (host, int(pid)) == (socket.gethostname()[-200:], os.getpid())
    assert [job.pk for job in Job.objects.due()] == [mine.pk]
    assert [job.pk for job in Job.objects.grabbed()] == [other.pk]


def test_a_grab_that_is_committed_after_the_death_is_given_back_all_the_same(
    aftermath, client, database, monkeypatch
):
    monkeypatch.setattr("django_schwartz.aftermath.LOOKS", (0, 0.2))
    register(type("Held", (Worker,), {}))
    client.dispatch_async("Held")
    name = f"{process_name()}:4711"
    _, pid, _, number = name.rsplit(":", 3)

    aftermath.give_back_grab(int(pid), int(number), [database])
    Job.objects.update(grabbed_by=name, grabbed_until=ServerTime() + 60)
    aftermath.tend()
    early = Job.objects.due().count()
    time.sleep(0.2)
    aftermath.tend()

    assert early == 0
    assert Job.objects.due().count() == 1
    assert aftermath.has_released_late
    assert not aftermath.has_chores


def test_what_the_database_would_not_do_is_tried_again(aftermath, entry, monkeypatch):
    one = entry(has_begun=True)

    def refuse(*args, **kwargs):
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Job, "crashed", refuse)
        aftermath.of_death([one], "exit code 3")
    before = row(one).failures
    aftermath.tend()

    assert before == 0
    assert row(one).failure_log == ["The worker died: exit code 3."]


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, Odd])
def test_a_receiver_that_ends_programs_ends_nothing(aftermath, entry, caplog, error):
    one = entry(has_begun=True)

    def end(**_):
        raise error

    with connected(job_finished, end):
        aftermath.of_death([one], "exit code 3")
    aftermath.tend()

    assert row(one).failure_log == ["The worker died: exit code 3."]
    assert caplog.messages.count(TOLD.format(row(one).handle)) == 1


def test_a_hook_that_ends_programs_ends_nothing(aftermath, client, database, caplog):
    @register
    class Ending(Worker):
        def get_max_crashes(self, job):
            raise Odd

    handle = client.dispatch_async("Ending")
    job = client.find_job_for_workers(["Ending"])

    aftermath.of_death([Entry(job.jobid, database, job.grabs, job.leases, True)], "exit code 3")
    aftermath.tend()

    assert handle.is_pending
    assert caplog.messages.count(TOLD.format(handle)) == 1


TOLD = "{}: a hook or a receiver failed after its process died"


@contextmanager
def connected(signal, receiver):
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


@pytest.mark.only_on("postgresql")
def test_a_session_that_was_cut_keeps_nothing_waiting(aftermath, entry, database):
    one = entry(has_begun=True)
    with pytest.raises(OperationalError), connections[database].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    aftermath.of_death([one], "exit code 3")
    aftermath.tend()

    assert row(one).failure_log == ["The worker died: exit code 3."]


def test_a_database_that_kept_us_waiting_is_left_alone_for_a_while(aftermath, entry, monkeypatch):
    one = entry(has_begun=True)
    tried = []

    def refuse(job, *args, **kwargs):
        tried.append(job.jobid)
        raise OperationalError("away")

    monkeypatch.setattr(Job, "crashed", refuse)
    monkeypatch.setattr("django_schwartz.aftermath.SLOW_SECONDS", 0)
    monkeypatch.setattr("django_schwartz.aftermath.PAUSES", 1_000_000)
    aftermath.of_death([one], "exit code 3")
    aftermath.tend()

    assert tried == [one.jobid]


def test_while_a_database_is_away_one_thing_is_tried_at_a_time(aftermath, entry, monkeypatch):
    several = [entry(has_begun=True) for _ in range(3)]
    tried = []

    def refuse(job, *args, **kwargs):
        tried.append(job.jobid)
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Job, "crashed", refuse)
        for one in several:
            aftermath.of_death([one], "exit code 3")
        del tried[:]
        aftermath.tend()
        aftermath.tend()
    aftermath.tend()

    assert tried == [one.jobid for one in several[:2]]
    assert [row(one).failures for one in several] == [1, 1, 1]
