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

#: Steps of a schedule, at the most. There are 156,200 schedules where a grab is one statement, and
#: 51,070 where it is two; 7,143 and 2,885 steps are done, since many lead to one state.
DEPTH = 8


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


def test_no_order_of_the_steps_of_two_workers_goes_wrong(interleavings):
    schedules = interleavings.search(DEPTH)

    assert schedules > 50_000
    assert interleavings.steps_done > 2_500


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_by_its_shortest_schedule(interleavings, plant, monkeypatch):
    in_one_step, in_two_steps = PLANTED[plant]
    plant(monkeypatch)

    schedule = interleavings.shortest(6)

    assert schedule == (in_two_steps if interleavings.in_two_steps else in_one_step)
