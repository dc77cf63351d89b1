"""A job that was lost while its worker is at it."""

from array import array

import pytest

from django_schwartz import Worker, register
from django_schwartz.engine import SIZE, Ledger
from django_schwartz.engine.holds import Holds
from tests.rows import lease_elsewhere


@pytest.fixture
def now():
    """The clock of the holds: seconds."""
    return [0.0]


@pytest.fixture
def job(client):
    @register
    class Mail(Worker):
        pass

    client.can_do("Mail")
    client.dispatch_async("Mail")
    return client.find_job_for_workers()


def test_a_lease_that_was_lost_is_told_of_once(database, job, now):
    holds = Holds(Ledger(array("q", [0] * SIZE), [database]), clock=lambda: now[0])
    holds.add(job, lease_seconds=3, leased_at=0, grab_for=100)
    lease_elsewhere(job.handle)

    now[0] = 2
    at_first = holds.renew(database)
    now[0] = 4
    later = holds.renew(database)

    assert (at_first, later) == ([job], [])
