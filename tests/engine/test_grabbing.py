"""What an engine grabs, and in which order: fair between functions, priorities first."""

import time
from array import array
from collections import Counter
from datetime import timedelta

import pytest
from django.db import OperationalError, connections

from django_schwartz import Worker, register
from django_schwartz.databases import known_deaths
from django_schwartz.engine import SIZE, Ledger
from django_schwartz.engine.hands import Hands
from django_schwartz.engine.holds import SHORTEST_SECONDS, Holds
from django_schwartz.engine.poller import LevelledQueue, PlainQueue, Poller, in_fair_order
from django_schwartz.models import Job
from tests.rows import end_lease, lease_elsewhere, statements

NAMES = ["Low", "Middle", "High"]


@pytest.fixture(autouse=True)
def _workers():
    for funcname in NAMES:
        register(type(funcname, (Worker,), {}))


@pytest.fixture
def ledger(database):
    return Ledger(array("q", [0] * SIZE), [database])


@pytest.fixture
def holds(ledger):
    return Holds(ledger)


@pytest.fixture
def hands(client, holds, ledger, database):
    for name in NAMES:
        client.can_do(name)
    client.make_functions()
    return Hands(client, holds, ledger, abilities=lambda: client.all_abilities, lease_seconds=60)


@pytest.fixture
def poller(hands):
    return Poller(hands)


def names(jobs):
    return [job.funcname for job in jobs]


def test_who_has_nothing_to_ask_for_takes_no_dead_database_for_alive(
    client, database, holds, ledger
):
    idle = Hands(client, holds, ledger, abilities=list, lease_seconds=60)
    known_deaths.note(database, OperationalError("away"))

    assert Poller(idle).poll(1) == []

    assert client.databases.is_dead(database)


@pytest.mark.only_on("sqlite")  # the others' column has no room for it
def test_a_priority_that_no_column_should_hold_is_grabbed_all_the_same(client, poller):
    handle = client.dispatch_async("Low")
    Job.objects.filter(pk=handle.jobid).update(priority=-(10**9))

    [job] = poller.poll(1)

    assert job.handle == handle


@pytest.mark.only_on("sqlite", "postgresql")
def test_functions_take_turns_in_a_batch(client, poller):
    client.dispatch_jobs([Job(funcname=name) for name in NAMES for _ in range(30)])

    performed = names(poller.poll(30))

    assert Counter(performed) == {"Low": 10, "Middle": 10, "High": 10}
    rounds = [performed[n : n + 3] for n in range(0, 30, 3)]
    assert [sorted(one) for one in rounds] == [sorted(NAMES)] * 10


@pytest.mark.only_on("sqlite", "postgresql")
def test_a_function_with_many_jobs_does_not_starve_one_with_few(client, poller):
    client.dispatch_jobs([Job(funcname="Low") for _ in range(500)])
    client.dispatch_jobs([Job(funcname="High") for _ in range(3)])

    grabbed = names(poller.poll(10)) + names(poller.poll(10))

    assert Counter(grabbed)["High"] == 3


def test_functions_that_the_last_batch_did_not_serve_come_first_in_the_next(client, poller):
    client.dispatch_jobs([Job(funcname="Low") for _ in range(50)])
    client.dispatch_jobs([Job(funcname=name) for name in ("Middle", "High")])

    grabbed = names(poller.poll(5)) + names(poller.poll(5))

    assert {"Middle", "High"} < set(grabbed)


def test_a_higher_priority_goes_first(client, poller):
    client.dispatch_jobs([Job(funcname="Low", priority=n) for n in (1, 9, 5, 0, -3)])

    assert [job.priority for job in poller.poll(10)] == [9, 5, 1, 0, -3]


def test_a_higher_priority_of_one_function_does_not_starve_another(client, poller):
    client.dispatch_jobs([Job(funcname="High", priority=9) for _ in range(50)])
    client.dispatch_jobs([Job(funcname="Low", priority=1) for _ in range(5)])

    first, second = names(poller.poll(5)), names(poller.poll(5))

    assert first == ["High"] * 5
    assert "Low" in second


def test_no_job_below_the_floor_is_grabbed(client, poller):
    client.floor = 5
    client.dispatch_jobs([Job(funcname="Low", priority=n) for n in (4, 5, 6, None)])

    assert [job.priority for job in poller.poll(10)] == [6, 5]
    assert poller.poll(10) == []


def test_what_waits_for_its_time_or_is_held_is_not_grabbed(client, poller):
    client.dispatch_async(Job(funcname="Low", run_after=4_000_000_000))
    lease_elsewhere(client.dispatch_async("Low"))

    assert poller.poll(10) == []


def test_the_whole_queue_is_grabbed_once_batch_by_batch(client, poller):
    jobs = [Job(funcname=NAMES[n % 3], priority=n % 4) for n in range(100)]
    client.dispatch_jobs(jobs)

    grabbed = []
    while batch := poller.poll(7):
        grabbed += batch

    assert sorted(job.pk for job in grabbed) == sorted(job.pk for job in jobs)


def test_what_is_before_the_watermark_is_found_before_the_queue_counts_as_empty(client, poller):
    late = client.dispatch_async("Low")
    lease_elsewhere(late)
    client.dispatch_jobs([Job(funcname="Low") for _ in range(20)])
    poller.poll(5)
    Job.objects.filter(pk=late.jobid).update(grabbed_until=0)

    grabbed = []
    while batch := poller.poll(5):
        grabbed += batch

    assert late.jobid in [job.pk for job in grabbed]
    assert len(grabbed) == 16


def test_levels_are_read_where_the_database_finds_them_quickly(client, poller, database):
    [queue] = poller._queues.values()

    assert isinstance(queue, LevelledQueue)


def test_without_priorities_the_first_to_come_is_the_first_to_be_grabbed(client, hands):
    client.prioritize = False
    client.dispatch_jobs([Job(funcname="Low", priority=n) for n in (1, 9, 5)])
    poller = Poller(hands)

    assert type(next(iter(poller._queues.values()))) is PlainQueue
    assert len(poller.poll(10)) == 3


def test_in_one_batch_equals_take_turns_and_others_follow_by_priority(database):
    jobs = [
        Job(jobid=n, func_id=funcid, priority=priority, run_after=1)
        for n, (funcid, priority) in enumerate([(1, 0), (1, 0), (1, 0), (2, 0), (2, 5)])
    ]

    assert [job.jobid for job in in_fair_order([jobs[:2], jobs[2:]])] == [4, 0, 3, 1, 2]


# An idle poller


@pytest.fixture(params=[True, False], ids=["by priority", "in turn"])
def idle(request, client, hands):
    """A poller that found nothing the last time, by priorities or without."""
    client.prioritize = request.param
    poller = Poller(hands)
    poller.poll(1)
    return poller


def seconds_until(moment):
    return moment - time.monotonic()


def test_every_poll_of_an_idle_poller_is_one_statement(idle, client, database):
    lease_elsewhere(client.dispatch_async("Low"))

    with statements(database) as words:
        polls = [idle.poll(1) for _ in range(5)]

    assert polls == [[], [], [], [], []]
    assert len(words) == 5


def test_an_idle_poller_knows_when_the_first_lease_ends_that_another_has(idle, client):
    for name, seconds in (("Low", 40), ("High", 20), ("Middle", 50)):
        lease_elsewhere(client.dispatch_async(name), seconds=seconds)

    idle.poll(1)

    assert 18 < seconds_until(idle.due_at) < 20.6


def test_a_job_whose_lease_ended_is_grabbed_then(idle, client):
    handle = client.dispatch_async("Low")
    lease_elsewhere(handle, seconds=1)

    idle.poll(1)
    pause = seconds_until(idle.due_at)
    end_lease(handle)
    grabbed = idle.poll(1)

    assert pause < 1.6
    assert [job.pk for job in grabbed] == [handle.jobid]


def test_an_idle_poller_knows_when_the_first_job_is_due(idle, client):
    for name, seconds in (("Low", 40), ("High", 20), ("Middle", 50), ("Unknown", 10)):
        client.dispatch_async(name, run_after=timedelta(seconds=seconds))

    idle.poll(1)

    assert 18 < seconds_until(idle.due_at) < 21.6


def test_an_idle_poller_learns_of_a_job_that_comes_for_later(idle, client):
    idle.poll(1)
    before = seconds_until(idle.due_at)
    client.dispatch_async("Low", run_after=timedelta(seconds=5))

    idle.poll(1)

    assert before > 50
    assert 3 < seconds_until(idle.due_at) < 6.6


def test_where_nobody_holds_a_job_none_lapses_for_as_long_as_a_lease(idle, client):
    client.dispatch_async(Job(funcname="Low", run_after=4_000_000_000))
    lease_elsewhere(client.dispatch_async("Unknown"), seconds=20)

    idle.poll(1)

    assert 59 < seconds_until(idle.due_at) < 60.6


def test_two_leases_that_end_one_after_the_other_are_both_known(idle, client):
    first, second = client.dispatch_async("Low"), client.dispatch_async("Low")
    lease_elsewhere(second, seconds=20)

    grabbed = [idle.poll(1) for _ in range(3)]

    assert [[job.pk for job in jobs] for jobs in grabbed] == [[first.jobid], [], []]
    assert 18 < seconds_until(idle.due_at) < 20.6


@pytest.mark.parametrize("until", [-(2**63), 2**63 - 1], ids=["before", "after"])
def test_no_lease_is_too_long_to_be_looked_at(idle, client, database, until):
    handle = client.dispatch_async("Low")
    with connections[database].cursor() as cursor:
        cursor.execute("UPDATE django_schwartz_job SET grabbed_until = %s", [until])

    grabbed = idle.poll(1)

    assert [job.pk for job in grabbed] == ([handle.jobid] if until < 0 else [])


# A grab whose reply is lost


@pytest.mark.parametrize("is_made", [True, False])
def test_what_a_grab_took_whose_reply_was_lost_is_found_again(
    client, hands, holds, ledger, database, is_made
):
    handle = client.dispatch_async("Low")

    def lose(lease):
        if is_made:
            Job.objects.due().grab(lease)
        raise OperationalError("the reply is lost")

    with pytest.raises(OperationalError):
        hands.take(database, lose)
    open_grab = ledger.open_grab
    found = hands.take(database, Job.objects.due().grab)

    assert open_grab
    assert [job.pk for job in found] == [handle.jobid]
    assert handle.job.grabs == 1
    assert len(holds) == 1
    assert ledger.open_grab == 0
    assert found[0].completed()


# Leases


@pytest.mark.parametrize(("grab_for", "lease"), [(1, SHORTEST_SECONDS), (30, 30), (3600, 60)])
def test_a_lease_is_as_long_as_its_worker_wants_it_and_no_longer_than_others(
    client, hands, holds, database, grab_for, lease
):
    client.can_do(register(type("Leased", (Worker,), {"grab_for": grab_for})))
    client.dispatch_async("Leased")
    now = client.get_server_time()

    [job] = hands.take(database, Job.objects.due().grab)

    assert lease <= job.grabbed_until.timestamp() - now <= lease + 1
    assert job.hold.grab_for == grab_for
