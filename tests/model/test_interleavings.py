"""Two workers at one job, in every order that their steps can have."""

import logging

import pytest

from django_schwartz import Worker, register
from tests.model.clock import Clock
from tests.model.interleavings import Interleavings
from tests.model.ledger import GRAB_FOR, RETRY_DELAY
from tests.model.planted import PLANTED

#: MariaDB's grab is the portable one, whose steps are searched on these.
pytestmark = pytest.mark.only_on("sqlite", "postgresql")

#: Steps of a schedule, at the most, and how many are done for all schedules together where a grab
#: is two statements; where it is one they are 115,836 and 30,956. Many schedules lead to one state:
#: on SQLite there are 48,899,130 of one statement, and 9,348,290 of two.
DEPTH = {"sqlite": 12, "postgresql": 10}
STEPS_DONE = {"sqlite": 43_672, "postgresql": 12_057}


class Work(Worker):
    grab_for = GRAB_FOR
    max_retries = 1000
    retry_delay = RETRY_DELAY
    keep_exit_status_for = 3600


@pytest.fixture
def interleavings(client, dialect, monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL, "django_schwartz")
    register(Work)
    monkeypatch.setattr("django_schwartz.dialects.portable.LOOKS", 1)
    clock = Clock(dialect, monkeypatch)
    return Interleavings(client.dispatch_async("Work").job, clock)


@pytest.mark.timeout(600)
def test_no_order_of_the_steps_of_two_workers_goes_wrong(interleavings, database):
    schedules = interleavings.search(DEPTH[database])

    assert schedules > 500_000
    assert interleavings.steps_done >= STEPS_DONE[database]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_by_its_shortest_schedule(interleavings, plant, monkeypatch):
    in_one_step, in_two_steps = PLANTED[plant]
    plant(monkeypatch)

    schedule = interleavings.shortest(6)

    assert schedule == (in_two_steps if interleavings.in_two_steps else in_one_step)
