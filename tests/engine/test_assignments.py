"""A process for suspects: it takes over what it is given, and tells when that is done with."""

from array import array
from multiprocessing import Pipe

import pytest
from django.db import OperationalError, connections

from django_schwartz import Worker, register
from django_schwartz.dialects import dialect_of
from django_schwartz.engine import SIZE, Entry, Ledger
from django_schwartz.engine.assignments import Assignments
from django_schwartz.engine.hands import Hands
from django_schwartz.engine.holds import Holds
from django_schwartz.models import Job, JobQuerySet
from tests.rows import lease_elsewhere
from tests.waiting import until


@pytest.fixture
def suspect(client, database):
    """The entry of a job that is held."""

    @register
    class Suspect(Worker):
        pass

    client.can_do("Suspect")
    client.dispatch_async("Suspect")
    job = client.find_job_for_workers()
    return Entry(job.jobid, database, job.grabs, job.leases, has_begun=False)


@pytest.fixture
def supervisor():
    ours, theirs = Pipe()
    yield ours, theirs
    ours.close()


@pytest.fixture
def assignments(client, database, supervisor):
    ledger = Ledger(array("q", [0] * SIZE), [database])
    hands = Hands(
        client, Holds(ledger), ledger, abilities=lambda: client.all_abilities, lease_seconds=60
    )
    return Assignments(hands, supervisor[1], wake=lambda: None)


@pytest.fixture
def give(supervisor, assignments):
    def give(entry):
        supervisor[0].send(entry)
        until(lambda: assignments._entries)

    return give


def test_a_job_that_is_held_is_taken_over_and_is_none_that_lapsed(
    dialect, suspect, assignments, give, supervisor
):
    give(suspect)

    [job] = assignments.poll(1)

    assert (job.jobid, job.grabs, job.is_lapsed) == (suspect.jobid, suspect.grabs + 1, False)
    assert not supervisor[0].poll()
    assert job.completed()


def test_what_another_holds_by_now_is_done_with(dialect, suspect, assignments, give, supervisor):
    lease_elsewhere(Job.objects.get(pk=suspect.jobid).handle)
    give(suspect)

    assert assignments.poll(1) == []

    assert supervisor[0].recv() == suspect


def refuse(*args, **kwargs):
    raise OperationalError("not now")


def test_what_a_database_would_not_do_is_tried_again(
    suspect, assignments, give, supervisor, monkeypatch
):
    give(suspect)
    with monkeypatch.context() as patch:
        patch.setattr(JobQuerySet, "grab", refuse)
        with pytest.raises(OperationalError):
            assignments.poll(1)

    assert not supervisor[0].poll()
    assert assignments.due_at < float("inf")
    [job] = assignments.poll(1)
    assert job.jobid == suspect.jobid


def test_a_job_is_kept_while_its_database_is_away(
    suspect, assignments, give, supervisor, monkeypatch, database
):
    give(suspect)
    with monkeypatch.context() as patch:
        patch.setattr(JobQuerySet, "grab", refuse)
        patch.setattr(dialect_of(connections[database]), "is_unavailable", lambda *_: True)
        assert assignments.poll(1) == []

    assert not supervisor[0].poll()
    [job] = assignments.poll(1)
    assert job.jobid == suspect.jobid
