"""A job that was lost while its worker is at it, or before."""

import asyncio
from array import array
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections, transaction

from django_schwartz import Worker, register
from django_schwartz.dialects import dialect_of
from django_schwartz.engine import SIZE, Ledger
from django_schwartz.engine.crew import Crew
from django_schwartz.engine.holds import Holds
from django_schwartz.engine.loop import Loop
from django_schwartz.models import Job
from django_schwartz.performance import LAPSED_LEASE, Performer, grab_by_grab_for
from django_schwartz.worker import registry
from tests.rows import end_lease, lease_elsewhere, row_of
from tests.waiting import until


@pytest.fixture
def now():
    """The clock of the holds: seconds."""
    return [0.0]


@pytest.fixture
def begun():
    """The jobs that their worker began with."""
    return []


@pytest.fixture
def job(client, begun):
    @register
    class Mail(Worker):
        def work(self, job):
            begun.append(job)

    client.can_do("Mail")
    client.dispatch_async("Mail")
    return client.find_job_for_workers()


@pytest.fixture
def holds(database, now):
    return Holds(Ledger(array("q", [0] * SIZE), [database]), clock=lambda: now[0])


@pytest.fixture(params=["crew", "loop"])
def performers(request, holds, database):
    """What performs jobs: threads, or an event loop."""
    shared = {"on_room": lambda: None, "grab_along": grab_by_grab_for}
    if request.param == "crew":
        yield Crew(holds, [database], threads=1, **shared)
        return
    yield Loop(holds, size=1, **shared)
    asyncio.run(sync_to_async(connections.close_all)())  # in the thread that worked for the loop


@pytest.fixture
def put_before(performers, holds):
    """Put a job before them, and wait until it is not held any more."""

    def put_before(job):
        performers.start()
        performers.put([job])
        until(lambda: not len(holds))
        performers.stop()
        assert performers.join(10)

    return put_before


def test_a_lease_that_was_lost_is_told_of_once(database, holds, job, now):
    holds.add(job, 3, leased_at=0, grab_for=100)
    lease_elsewhere(job.handle)

    now[0] = 2
    at_first = holds.renew(database)
    now[0] = 4
    later = holds.renew(database)

    assert (at_first, later) == ([job], [])


def test_a_job_that_the_process_grabbed_again_is_lost_all_the_same(
    database, client, holds, job, now
):
    holds.add(job, 3, leased_at=0, grab_for=100)
    end_lease(job.handle)
    again = client.find_job_for_workers()
    holds.add(again, 3, leased_at=0, grab_for=100)

    now[0] = 2
    lost = holds.renew(database)

    assert [id(one) for one in lost] == [id(job)]


def test_a_job_that_is_known_to_be_lost_is_not_begun(holds, put_before, job, begun):
    holds.add(job, 3, leased_at=0, grab_for=100)
    lease_elsewhere(job.handle)
    job.become_lost()

    put_before(job)

    assert begun == []
    assert row_of(job.handle)["grabbed_by"] == "elsewhere:1:1"


def test_a_job_whose_lease_is_over_is_given_back_rather_than_begun(
    holds, put_before, job, begun, now
):
    holds.add(job, 3, leased_at=0, grab_for=100)
    now[0] = 2.1

    put_before(job)

    assert begun == []
    assert row_of(job.handle)["grabbed_until"] is None


@pytest.fixture
def lapsed(client, job, holds):
    """The job, held again after its lease had lapsed: its worker's death is to be counted first."""
    end_lease(job.handle)
    again = client.find_job_for_workers()
    holds.add(again, 3, leased_at=0, grab_for=100)
    return again


def test_a_job_whose_lease_ends_while_a_death_is_counted_is_given_back_rather_than_begun(
    put_before, lapsed, begun, now, monkeypatch
):
    add_failure = Job.add_failure

    def wait_for_the_database(job, message):
        now[0] = 2.1
        return add_failure(job, message)

    monkeypatch.setattr(Job, "add_failure", wait_for_the_database)

    put_before(lapsed)

    assert begun == []
    assert row_of(lapsed.handle)["grabbed_until"] is None
    assert lapsed.handle.failures == 1


def test_a_job_whose_lease_ends_while_its_transaction_begins_is_given_back_rather_than_begun(
    holds, job, begun, now, monkeypatch
):
    enter = transaction.Atomic.__enter__

    def wait_for_the_database(block):
        enter(block)
        now[0] = 2.1

    monkeypatch.setattr(registry["Mail"], "atomic", True)
    monkeypatch.setattr(transaction.Atomic, "__enter__", wait_for_the_database)
    holds.add(job, 3, leased_at=0, grab_for=100)

    Performer(partial(holds.begin, lambda: None)).perform(job)

    assert begun == []
    assert row_of(job.handle)["grabbed_until"] is None


def test_a_job_that_is_found_to_be_lost_when_a_death_is_counted_is_not_begun(
    put_before, lapsed, begun
):
    lease_elsewhere(lapsed.handle)

    put_before(lapsed)

    assert begun == []
    assert row_of(lapsed.handle)["grabbed_by"] == "elsewhere:1:1"
    assert lapsed.handle.failures == 0


def test_a_death_is_counted_over_a_new_connection_where_the_old_one_was_cut(
    put_before, lapsed, begun, monkeypatch
):
    add_failure, broken = Job.add_failure, []

    def add_failure_once_cut(job, message):
        if not broken:
            broken.append(job)
            raise OperationalError("server closed the connection unexpectedly")
        return add_failure(job, message)

    monkeypatch.setattr(Job, "add_failure", add_failure_once_cut)
    monkeypatch.setattr(dialect_of(lapsed.driver), "is_unavailable", lambda *_: True)

    put_before(lapsed)

    assert begun == [lapsed]
    assert lapsed.handle.failure_log.count(LAPSED_LEASE) == 1
