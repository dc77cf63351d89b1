"""Leases: renewed while a job runs, lost when its process does not; and the end of grab_for."""

import os
import signal
import time
from datetime import timedelta

import pytest

from django_schwartz.models import WorkerProcess
from tests.engine.conftest import traces
from tests.processes import descendants_of, send
from tests.waiting import until

OVERDUE = "The job was stopped: it took longer than its grab_for of 1 seconds."


def test_nobody_takes_a_job_that_outlasts_its_lease(start_with_short_leases, sleeper):
    handle, pid_of = sleeper(7)

    running = start_with_short_leases("--processes", 2, "--until-done")
    pid_of()

    assert running.end() == 0, running.output
    assert traces(handle) == ["begun", "done"]
    assert handle.exit_status == 0
    assert handle.failures == 0
    assert "lease lost" not in running.output


def test_a_zombie_has_nothing_to_say(start_with_short_leases, sleeper):
    handle, pid_of = sleeper(1.5)
    zombie = start_with_short_leases()
    pid = pid_of()
    os.kill(pid, signal.SIGSTOP)
    supervisors = [zombie.process.pid]
    os.kill(supervisors[0], signal.SIGSTOP)  # which would replace its process
    try:
        other = start_with_short_leases()
        until(lambda: len(traces(handle)) == 2)
        os.kill(pid, signal.SIGCONT)
        zombie.wait_for("lease lost")
    finally:
        os.kill(supervisors[0], signal.SIGCONT)
        os.kill(pid, signal.SIGCONT)
    until(lambda: not handle.is_pending)

    assert handle.exit_status == 0
    assert traces(handle).count("begun") == 2
    assert handle.failure_log == [
        "The lease ended with no outcome: the worker that held the job died, or was away."
    ]
    other.wait_for("completed")
    assert "completed" not in zombie.output
    assert other.stop() == 0
    assert zombie.stop() == 0


@pytest.mark.only_on("sqlite", "postgresql", "mysql")
def test_the_jobs_of_a_host_that_died_run_again_within_two_seconds_of_their_leases(
    start_with_short_leases, sleeper
):
    dying = start_with_short_leases()
    handles, pids_of = zip(*[sleeper(60, name=str(n)) for n in range(2)], strict=True)
    for pid_of in pids_of:
        pid_of()
    start_with_short_leases("--delay", 20)
    until(lambda: WorkerProcess.objects.filter(started_at__isnull=False).count() == 2)

    for pid in [dying.process.pid, *descendants_of(dying.process.pid)]:
        send(pid, signal.SIGKILL)
    began = time.monotonic()
    until(lambda: [traces(handle) for handle in handles] == [["begun", "begun"]] * 2)
    seconds = time.monotonic() - began

    print(f"begun again {seconds:.1f} s later")
    assert seconds < 6


def test_an_idle_worker_begins_a_delayed_job_when_it_is_due(start, client):
    running = start("--delay", 20)
    until(lambda: WorkerProcess.objects.filter(started_at__isnull=False).exists())

    handle = client.dispatch_async("Good", run_after=timedelta(seconds=3))
    due_at = time.monotonic() + 3
    until(lambda: handle.exit_status == 0)
    late = time.monotonic() - due_at

    print(f"done {late:.1f} s late")
    assert 0 <= late < 2.5  # a second is rounded up, and processes are spread over half of one
    assert running.stop() == 0, running.output


def test_a_process_that_is_stopped_for_long_is_replaced(start_with_short_leases, sleeper):
    handle, pid_of = sleeper(1)
    running = start_with_short_leases()
    pid = pid_of()

    os.kill(pid, signal.SIGSTOP)
    running.wait_for("gave no sign of life")

    until(lambda: not handle.is_pending)
    assert handle.exit_status == 0
    assert running.stop() == 0
    assert running.output.count("gave no sign of life") == 1


@pytest.mark.parametrize("funcname", ["ShortSleep", "ShortSpin"])
def test_a_job_over_its_grab_for_is_stopped_with_a_message(start, sleeper, client, funcname):
    handle, pid_of = sleeper(60, funcname=funcname)
    running = start()
    pid_of()
    other = client.dispatch_async("Good", 0.5)

    until(lambda: not handle.is_pending)

    assert handle.failure_log == [OVERDUE], running.output
    assert handle.exit_status == 1
    until(lambda: other.exit_status == 0)
    assert "replaced" not in running.output
    assert running.stop() == 0, running.output
    assert traces(other) == ["done"]


def test_a_job_that_cannot_be_stopped_is_left_with_its_process(start, sleeper, client):
    handle, pid_of = sleeper(60, funcname="ShortSleepInC")
    long, _ = sleeper(7, name="long")
    running = start()
    pid = pid_of()

    until(lambda: not handle.is_pending)
    until(lambda: pid not in running.children)
    after = client.dispatch_async("Good")
    until(lambda: after.exit_status == 0)

    assert handle.failure_log == [OVERDUE]
    assert long.exit_status == 0
    assert traces(long) == ["begun", "done"]
    assert running.stop() == 0, running.output
