"""A client at work: its abilities, its loop, its current job. Dispatch is in test_api.py."""

from contextvars import copy_context

import pytest

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import UnknownFunction
from django_schwartz.models import Job
from tests.rows import lease_elsewhere


@pytest.fixture
def performed():
    """The funcnames of the jobs that were performed."""
    return []


@pytest.fixture(autouse=True)
def _workers(performed):
    class Noted(Worker):
        def work(self, job):
            performed.append(job.funcname)
            job.completed()

    @register
    class A(Noted):
        pass

    @register
    class B(Noted):
        pass


# Abilities


def test_a_client_does_only_what_it_can_do(client, performed):
    client.dispatch_async("A")
    client.dispatch_async("B")
    client.can_do("B")

    client.work_until_done()

    assert performed == ["B"]


def test_an_ability_is_a_class_or_its_funcname(client):
    @register
    class Named(Worker):
        funcname = "My::Worker"

    client.can_do(Named)
    client.can_do("A")

    assert client.all_abilities == ["My::Worker", "A"]


def test_a_client_cannot_do_what_nobody_registered(client):
    with pytest.raises(UnknownFunction, match="'Nobody'"):
        client.can_do("Nobody")

    assert client.all_abilities == []


def test_a_client_without_an_ability_finds_nothing(client, performed):
    client.dispatch_async("A")

    worked = client.work_once()

    assert worked is False
    assert performed == []


def test_a_client_whose_abilities_were_reset_finds_nothing(client, performed):
    client.dispatch_async("A")
    client.can_do("A")

    client.reset_abilities()
    worked = client.work_once()

    assert worked is False
    assert (client.all_abilities, client.current_abilities) == ([], [])
    assert performed == []


def test_abilities_may_be_announced_anew_after_a_reset(client, performed):
    client.dispatch_async("B")
    client.can_do("A")
    client.reset_abilities()

    client.can_do("B")
    client.work_until_done()

    assert performed == ["B"]


def test_an_ability_that_was_removed_comes_back_when_there_is_nothing_else_to_do(client, performed):
    client.dispatch_async("A")
    client.can_do("A")
    client.can_do("B")

    client.temporarily_remove_ability("A")
    removed = list(client.current_abilities)
    worked = client.work_once()

    assert removed == ["B"]
    assert worked is True
    assert performed == ["A"]


def test_the_last_ability_cannot_be_removed(client):
    client.can_do("A")

    client.temporarily_remove_ability("A")

    assert client.current_abilities == ["A"]


def test_a_strict_client_leaves_a_removed_ability_until_somebody_restores_it(database, performed):
    client = TheSchwartz(strict_remove_ability=True)
    client.can_do("A")
    client.can_do("B")
    client.dispatch_async("A")
    client.temporarily_remove_ability("A")

    without = client.work_once()
    client.restore_full_abilities()
    restored = client.work_once()

    assert (without, restored) == (False, True)
    assert performed == ["A"]


def test_a_strict_client_removes_no_ability_by_itself(database, performed):
    client = TheSchwartz(strict_remove_ability=True)
    client.can_do("A")
    client.can_do("B")
    for name in ("A", "A", "B"):
        client.dispatch_async(name)

    client.work_until_done()

    assert performed == ["A", "A", "B"]
    assert client.current_abilities == ["A", "B"]


def test_the_functions_of_a_clients_abilities_can_be_made_before_any_dispatch(
    client, database, django_assert_num_queries
):
    client.can_do("A")
    client.can_do("B")

    client.make_functions()

    with django_assert_num_queries(2, using=database):
        client.dispatch_async("A")
        client.dispatch_async("B")


# The loop


class Enough(Exception):
    """Ends a loop that has no end."""


def test_the_loop_waits_only_when_it_found_nothing(client, performed):
    client.can_do("A")
    client.dispatch_jobs([Job(funcname="A"), Job(funcname="A")])
    waited = []

    def sleep(seconds):
        waited.append((seconds, len(performed)))
        if len(waited) == 2:
            raise Enough
        client.dispatch_async("A")

    with pytest.raises(Enough):
        client.work(3, sleep=sleep)

    assert waited == [(3, 2), (3, 3)]


def test_the_loop_waits_five_seconds(client):
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        raise Enough

    with pytest.raises(Enough):
        client.work(sleep=sleep)

    assert waited == [5]


# One job


@pytest.mark.parametrize("workers", ["A", ["A"]], ids=str)
def test_a_given_job_is_performed_without_another_look(client, performed, workers):
    client.dispatch_async("A")
    job = client.find_job_for_workers(workers)

    worked = client.work_once(job)

    assert worked is True
    assert performed == ["A"]


@pytest.mark.parametrize("state", ["due", "delayed", "held by another"])
def test_work_on_performs_a_job_as_it_is(client, performed, state):
    handle = client.dispatch_async("A", run_after=4_000_000_000 if state == "delayed" else None)
    if state == "held by another":
        lease_elsewhere(handle)

    worked = client.work_on(str(handle))

    assert worked is True
    assert performed == ["A"]
    assert not handle.is_pending


def test_work_on_refuses_a_job_that_is_gone(client, performed):
    handle = client.dispatch_async("A")
    handle.job.completed()

    worked = client.work_on(handle)

    assert worked is False
    assert performed == []


def test_the_current_job_is_the_one_that_is_performed(client):
    seen = []

    @register
    class Look(Worker):
        def work(self, job):
            seen.append(client.current_job is job)
            job.completed()

    client.dispatch_async("Look")
    client.can_do("Look")

    client.work_once()

    assert seen == [True]
    assert client.current_job is None


def test_a_job_may_be_made_the_current_one_where_none_is_performed(client):
    job = Job(funcname="Look")

    def make_current():
        job.set_as_current()
        return client.current_job

    current = copy_context().run(make_current)

    assert current is job
    assert client.current_job is None
