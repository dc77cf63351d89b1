"""The ledger: what a process holds, as its supervisor reads it after its death."""

from array import array

import pytest

from django_schwartz.engine import SIZE, Entry, Farewell, Ledger
from django_schwartz.engine.ledger import ROWS


@pytest.fixture
def memory():
    return array("q", [0] * SIZE)


@pytest.fixture
def ledger(memory):
    return Ledger(memory, ["one", "two"])


@pytest.fixture
def read(memory):
    """What another process reads in the same memory."""
    return lambda: list(Ledger(memory, ["one", "two"]).entries())


def test_what_is_entered_is_read(ledger, read):
    ledger.enter(2**40, "two", 3, 1_700_000_000)
    ledger.enter(7, "one", 1, 1_700_000_001)

    assert sorted(read(), key=lambda entry: entry.jobid) == [
        Entry(7, "one", 1, (1_700_000_001,), has_begun=False),
        Entry(2**40, "two", 3, (1_700_000_000,), has_begun=False),
    ]


def test_a_renewed_lease_may_be_the_old_or_the_new(ledger, read):
    slot = ledger.enter(7, "one", 1, 100)

    ledger.renew(slot, 120)

    assert [set(entry.leases) for entry in read()] == [{100, 120}]


def test_a_job_has_begun_until_it_ends(ledger, read):
    slot = ledger.enter(7, "one", 1, 100)

    ledger.begun[slot] = True
    begun = [entry.has_begun for entry in read()]
    ledger.begun[slot] = False

    assert begun == [True]
    assert [entry.has_begun for entry in read()] == [False]


def test_what_is_struck_is_not_read_and_leaves_its_place_clean(ledger, read):
    slot = ledger.enter(7, "one", 1, 100)
    ledger.renew(slot, 120)
    ledger.begun[slot] = True

    ledger.strike([slot])
    nothing = read()
    again = ledger.enter(8, "one", 2, 200)

    assert nothing == []
    assert again == slot
    assert read() == [Entry(8, "one", 2, (200,), has_begun=False)]


def test_there_is_room_for_more_jobs_than_a_process_holds(ledger, read):
    for jobid in range(1, ROWS + 1):
        ledger.enter(jobid, "one", 1, 100)

    assert len(read()) == ROWS


def test_a_process_that_says_no_farewell_died(ledger, memory):
    before = Ledger(memory, []).farewell
    ledger.farewell = Farewell.RECYCLED

    assert before is Farewell.NONE
    assert Ledger(memory, []).farewell is Farewell.RECYCLED


def test_a_sign_of_life_is_seen(ledger, memory):
    before = Ledger(memory, []).last_life

    ledger.show_life()

    assert before == 0
    assert Ledger(memory, []).last_life > 0
