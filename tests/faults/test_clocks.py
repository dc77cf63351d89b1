"""D18, D19, M13: hosts whose clocks are wrong, a server whose clock jumps, and the year 2038."""

import signal
import threading
import time
from datetime import timedelta

import pytest
from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import ExitStatus, Job
from django_schwartz.torture.hosts import library_of_wrong_clocks, wrong_clock
from tests.rows import row_of
from tests.waiting import until

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.timeout(150)]

END_OF_32_BITS = 2**31


@pytest.fixture
def skewed(manage):
    """Start `runschwartz` on a host whose clock is ahead by so many seconds."""
    library = library_of_wrong_clocks()
    if library is None:
        pytest.skip("no libfaketime (apt-get install faketime)")

    def start(seconds):
        return manage("runschwartz", "--no-reload", **wrong_clock(library, seconds))

    return start


@pytest.mark.parametrize("seconds", [300, -300])
def test_a_host_with_a_wrong_clock_is_neither_early_nor_late(client, skewed, seconds):
    first = client.dispatch_async("Note", "first")
    process = skewed(seconds)
    until(lambda: not first.is_pending)

    now = client.get_server_time()
    handle = client.dispatch_async("Note", "later", run_after=timedelta(seconds=3))
    due = row_of(handle)["run_after"].timestamp()
    while handle.is_pending:
        client.dispatch_async("Note", "other")  # an idle worker looks every five seconds only
        threading.Event().wait(0.1)
    ended = time.time()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=40)

    status = ExitStatus.objects.get(pk=handle.jobid)
    print(f"due in {due - now} s, done {ended - due:.2f} s later")
    assert due <= ended < due + 1
    assert due <= status.completion_time.timestamp() <= due + 1
    assert (handle.exit_status, handle.failures) == (0, 0)
    assert process.returncode == 0, output


class FailsOnce(Worker):
    """Fails once, and completes then."""

    max_retries = 1
    retry_delay = 3
    keep_exit_status_for = 1000

    def work(self, job):
        if not job.failures:
            raise RuntimeError
        job.completed()


@pytest.fixture
def client(database):
    register(FailsOnce)
    return TheSchwartz()


def of_clocked():
    client = TheSchwartz(["clocked"])
    client.can_do("FailsOnce")
    return client


@pytest.mark.parametrize("ahead", [61, 3600])
def test_a_clock_that_jumps_ahead_ends_a_lease_and_the_fence_refuses_who_held_it(
    clocked, client, ahead
):
    handle = of_clocked().dispatch_async("FailsOnce")
    first = take(60)

    clocked.set_clock(ahead)
    second = take(60)
    accepted = [first.completed(), second.completed()]

    assert (first.jobid, second.grabs) == (second.jobid, first.grabs + 1)
    assert accepted == [False, True]
    assert handle.exit_status == 0
    assert ExitStatus.objects.using("clocked").count() == 1


def test_a_clock_that_jumps_back_makes_a_lease_as_much_longer_and_no_more(clocked, client):
    of_clocked().dispatch_async("FailsOnce")
    clocked.set_clock(60)
    held = take(30)

    clocked.set_clock(0)
    at_once = take(30)
    clocked.set_clock(60 + 29 - 2)
    before = take(30)
    clocked.set_clock(60 + 31)
    after = take(30)

    assert (at_once, before) == (None, None)
    assert after.jobid == held.jobid
    assert held.completed() is False
    assert after.completed() is True


def take(lease_seconds):
    """Grab the job, if it is due, by a lease so long."""
    client = of_clocked()
    lease = client.lease(["FailsOnce"], "clocked")
    lease.seconds.update(dict.fromkeys(lease.seconds, lease_seconds))
    return next(iter(Job.objects.using("clocked").due().grab(lease)), None)


def test_workers_go_on_while_the_clock_jumps_and_each_job_ends_once(clocked, client, working):
    ended = []

    @register
    class Steady(Worker):
        keep_exit_status_for = 10_000
        max_retries = 20

        def work(self, job):
            threading.Event().wait(0.05)
            ended.append(job.completed())

    handles = []
    with working("clocked", "Steady"), working("clocked", "Steady"):
        for seconds in (0, -60, 30, -30, 60, 0, 120):
            clocked.set_clock(seconds)
            handles += [of_clocked().dispatch_async("Steady") for _ in range(30)]
            threading.Event().wait(0.5)
        until(lambda: not Job.objects.using("clocked").exists(), 60)
    performed = ExitStatus.objects.using("clocked")

    print(f"{len(handles)} jobs, {len(ended)} performances")
    assert set(performed.values_list("jobid", "status")) == {(h.jobid, 0) for h in handles}
    assert len(ended) >= len(handles)


def test_a_retry_and_a_lease_go_across_the_end_of_32_bits(clocked, client, working):
    clocked.set_clock(END_OF_32_BITS - int(time.time()) - 4)
    handle = of_clocked().dispatch_async("FailsOnce", run_after=timedelta(seconds=1))

    with working("clocked", "FailsOnce"):
        until(lambda: not handle.is_pending)
    status = ExitStatus.objects.using("clocked").get()
    connections["clocked"].close()

    assert (handle.exit_status, handle.failures) == (0, 1)
    assert status.insert_time.timestamp() < END_OF_32_BITS
    assert status.completion_time.timestamp() >= END_OF_32_BITS
