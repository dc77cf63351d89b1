"""Jobs that a worker grabs along with the one that it performs: they are held like that one."""

import os
import signal
import time
from array import array
from datetime import timedelta

import pytest
from django.db import transaction

from django_schwartz import Worker, register
from django_schwartz.engine import SIZE, Ledger
from django_schwartz.engine.along import MOST, Along
from django_schwartz.engine.holds import Holds
from django_schwartz.engine.settler import Settler
from django_schwartz.models import Job
from django_schwartz.performance import Overdue
from tests.engine.conftest import traces
from tests.waiting import until

LEASE, GRAB_FOR = 60, 3600


@pytest.fixture
def ledger(database):
    return Ledger(array("q", [0] * SIZE), [database])


@pytest.fixture
def holds(ledger, database):
    holds = Holds(ledger)
    Settler(holds, database)
    return holds


@pytest.fixture
def performed(client, holds, database):
    """A job that is held, and has begun."""
    register(type("Gather", (Worker,), {"grab_for": GRAB_FOR}))
    client.dispatch_async("Gather")
    job = client.find_job_for_workers(["Gather"])
    holds.add(job, LEASE, leased_at=time.monotonic(), grab_for=GRAB_FOR)
    holds.begin(lambda: None, job)
    return job


@pytest.fixture
def grab_along(client, holds, ledger, performed, database):
    """Dispatch one more job and grab it along with the performed one."""

    def grab_along():
        client.dispatch_async("Gather")
        lease = client.lease(["Gather"], database)
        along = Along(holds, ledger, lease_seconds=LEASE)
        [job] = along.grab(performed, database, lease, Job.objects.due().grab)
        return job

    return grab_along


def seconds_left(client, job):
    return job.grabbed_until.timestamp() - client.get_server_time()


def test_it_is_leased_for_as_long_as_the_performed_one(client, holds, grab_along):
    other = grab_along()

    assert LEASE - 1 <= seconds_left(client, other) <= LEASE
    assert other.hold.grab_for == GRAB_FOR


def test_the_ledger_knows_of_the_grab_while_it_lasts(client, holds, ledger, performed, database):
    lease = client.lease(["Gather"], database)
    seen = []

    def grab(lease):
        seen.append(ledger.open_grabs)
        return []

    Along(holds, ledger, lease_seconds=LEASE).grab(performed, database, lease, grab)

    assert seen == [[lease.number]]
    assert ledger.open_grabs == []


def test_the_ledger_knows_it_as_begun(ledger, performed, grab_along):
    other = grab_along()

    entries = {entry.jobid: entry.has_begun for entry in ledger.entries()}
    assert entries == {performed.jobid: True, other.jobid: True}


def test_it_is_let_go_when_the_performed_one_ends(holds, performed, grab_along):
    grab_along()

    holds.end(performed)

    assert (len(holds), holds.along) == (0, 0)


def test_it_is_not_held_if_the_performed_one_is_stopped_meanwhile(holds, grab_along, monkeypatch):
    def stop(other, job):
        raise Overdue

    monkeypatch.setattr(holds, "begin_along", stop)
    with pytest.raises(Overdue):
        grab_along()

    assert len(holds) == 1


def test_in_a_transaction_its_lease_is_its_grab_for(client, holds, grab_along, database):
    with transaction.atomic(using=database):
        other = grab_along()

    assert GRAB_FOR - 1 <= seconds_left(client, other) <= GRAB_FOR
    assert len(holds) == 1


@pytest.mark.only_on("sqlite")
def test_beyond_the_most_that_are_held_its_lease_is_its_grab_for(client, holds, grab_along):
    for _ in range(MOST):
        grab_along()

    assert GRAB_FOR - 1 <= seconds_left(client, grab_along()) <= GRAB_FOR
    assert len(holds) == 1 + MOST


@pytest.mark.only_on("sqlite")
def test_those_that_are_done_make_room_for_others(holds, grab_along):
    for _ in range(3):
        holds.drop([grab_along()])

    assert holds.along == 1


# In processes


@pytest.fixture
def group(client, tmp_path):
    """Dispatch the jobs of a group; give their handles, and how to wait for who performs them."""

    def dispatch(*args, funcname="Together"):
        begun = tmp_path / "begun"
        shared = {"begun": str(begun), "seconds": 0.1}
        handles = [
            client.dispatch_async(funcname, {**shared, **arg}, coalesce="group") for arg in args
        ]
        return handles, lambda: (until(begun.exists), int(begun.read_text()))[1]

    return dispatch


def test_those_of_a_killed_process_are_performed_again_at_once(start, group):
    handles, pid_of = group(*[{"seconds": 60}] * 3)
    running = start("--threads", 1)

    os.kill(pid_of(), signal.SIGKILL)
    until(lambda: not any(handle.is_pending for handle in handles), seconds=5)

    assert [handle.exit_status for handle in handles] == [0, 0, 0]
    assert [handle.failures for handle in handles] == [0, 0, 0]
    assert running.stop() == 0, running.output


def test_those_of_a_host_that_is_told_twice_are_free_at_once(start, group):
    handles, pid_of = group(*[{"seconds": 60}] * 3)
    running = start("--threads", 1)
    pid_of()

    running.send_signal(signal.SIGTERM)
    running.wait_for("finishing what runs")
    running.stop()

    assert Job.objects.due().count() == 3
    assert [handle.failures for handle in handles] == [0, 0, 0]


def test_nobody_takes_those_that_outlast_their_lease(start_with_short_leases, group):
    handles, pid_of = group(*[{"seconds": 7}] * 3)
    running = start_with_short_leases("--threads", 1)
    pid_of()

    leases = [handle.job.grabbed_until - handle.job.grabbed_at for handle in handles]
    other = start_with_short_leases()
    until(lambda: not any(handle.is_pending for handle in handles))

    assert max(leases) <= timedelta(seconds=5)
    assert [traces(handle) for handle in handles] == [["begun"]] * 3
    assert [handle.exit_status for handle in handles] == [0, 0, 0]
    assert other.stop() == running.stop() == 0


def test_those_of_a_job_that_is_over_its_grab_for_are_given_back_at_once(start, group):
    handles, _ = group({}, {}, {"seconds": 60}, funcname="ShortTogether")

    running = start("--threads", 1)
    until(lambda: not any(handle.is_pending for handle in handles))

    assert [handle.exit_status for handle in handles] == [1, 0, 0]
    assert [handle.failures for handle in handles] == [1, 0, 0]
    assert running.stop() == 0, running.output


def test_a_suspect_is_performed_without_them(start, group):
    handles, _ = group({}, {"is_poison": True}, {})

    running = start("--threads", 1, "--until-done")

    assert running.end(60) == 0, running.output
    assert [handle.exit_status for handle in handles] == [0, 1, 0]
    assert [handle.failures for handle in handles] == [0, 2, 0]
