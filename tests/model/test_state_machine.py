"""The queue does what a model of it does, whatever is done to both and in whatever order."""

import logging

import pytest
from django.db import connections
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from django_schwartz import register
from django_schwartz.dialects import dialect_of
from tests.model.clock import Clock
from tests.model.machine import QueueMachine
from tests.model.modelled import WORKERS
from tests.model.planted import (
    PLANTED,
    grabs_not_compared,
    no_compare_and_swap,
    no_fence_together,
    no_home,
)

THOROUGH = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
#: A bug that is found is not made any smaller.
UNTIL_FOUND = settings(
    THOROUGH, max_examples=300, phases=[Phase.generate], report_multiple_bugs=False
)

#: What takes two clients at once, or one of them very much luck, is for the interleavings to find.
NOT_FINDABLE = (no_compare_and_swap, grabs_not_compared)
FINDABLE = [p for p in PLANTED if p not in NOT_FINDABLE]


@pytest.fixture
def run(monkeypatch, caplog):
    """Run the machine with the queue in these databases."""
    caplog.set_level(logging.CRITICAL, "django_schwartz")
    monkeypatch.setattr("django_schwartz.models.outcome.PAUSES", ())
    for worker in WORKERS.values():
        register(worker)

    def run(aliases, how):
        clocks = [Clock(dialect_of(connections[alias]), monkeypatch) for alias in aliases]
        run_state_machine_as_test(lambda: QueueMachine(aliases, clocks), settings=how)

    return run


def test_one_database_is_as_the_model_says(run, database, dialect):
    run([database], THOROUGH)


def test_two_databases_are_as_the_model_says(run, two_databases):
    run(two_databases, THOROUGH)


@pytest.mark.parametrize("plant", FINDABLE, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(run, database, plant, monkeypatch):
    plant(monkeypatch)

    with pytest.raises(AssertionError):
        run([database], UNTIL_FOUND)


def test_a_uniqkey_without_a_home_is_found(run, two_databases, monkeypatch):
    no_home(monkeypatch)

    with pytest.raises(AssertionError):
        run(two_databases, UNTIL_FOUND)


def test_completions_together_that_nobody_fences_are_found(run, database, monkeypatch):
    no_fence_together(monkeypatch)

    with pytest.raises(AssertionError):
        run([database], UNTIL_FOUND)
