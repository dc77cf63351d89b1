"""How it ends: what runs is finished, or given back uncounted; nothing is left behind."""

import os
import signal
import threading
import time

import pytest

from tests.engine.conftest import traces
from tests.processes import descendants_of, is_alive
from tests.waiting import until

pytestmark = pytest.mark.only_on("sqlite")

NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_a_signal_has_it_finish_what_runs_and_begin_nothing(start, sleeper, number, processes):
    handle, pid_of = sleeper(1)
    running = start("--threads", 1, "--processes", processes)
    child = pid_of()
    waiting, _ = sleeper(0, name="waiting")

    running.send_signal(number)

    assert running.end() == 0, running.output
    assert handle.exit_status == 0
    assert traces(waiting) == []
    assert waiting.job.grabbed_until is None
    assert not is_alive(child)


@pytest.mark.parametrize("processes", [0, 1])
def test_under_nohup_it_outlives_its_terminal(start, sleeper, processes):
    handle, pid_of = sleeper(1)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does, for a child to inherit
    try:
        running = start("--processes", processes)
    finally:
        signal.signal(signal.SIGHUP, before)
    pid_of()

    running.send_signal(signal.SIGHUP)
    until(lambda: not handle.is_pending)
    after, _ = sleeper(0, name="after")
    until(lambda: not after.is_pending)

    assert running.stop() == 0, running.output


def test_ctrl_c_reaches_every_process_and_interrupts_no_job(start, sleeper):
    handle, pid_of = sleeper(1)
    running = start()
    child = pid_of()

    os.kill(child, signal.SIGINT)
    running.send_signal(signal.SIGINT)

    assert running.end() == 0, running.output
    assert handle.exit_status == 0
    assert "KeyboardInterrupt" not in running.output


def test_what_outlasts_the_shutdown_timeout_is_given_back_uncounted(start, sleeper):
    handle, pid_of = sleeper(60)
    running = start("--shutdown-timeout", 0.5)
    child = pid_of()

    stopped_at = time.monotonic()
    code = running.stop()

    assert code == 0, running.output
    assert time.monotonic() - stopped_at < 10
    assert f"worker 1 ({child}) was cut off from {handle}: given back" in running.output
    assert handle.job.grabbed_until is None
    assert handle.failures == 0
    assert not is_alive(child)


def test_a_second_signal_ends_it_at_once_and_gives_the_job_back(start, sleeper):
    handle, pid_of = sleeper(60)
    running = start()
    child = pid_of()

    running.send_signal(signal.SIGINT)
    running.wait_for("finishing what runs")
    running.send_signal(signal.SIGTERM)

    assert running.end(10) == 128 + signal.SIGTERM, running.output
    assert handle.job.grabbed_until is None
    assert handle.failures == 0
    assert not is_alive(child)


def test_an_idle_worker_leaves_at_once(start, client):
    handle = client.dispatch_async("Good")
    running = start("--delay", 600)
    until(lambda: handle.exit_status == 0)

    stopped_at = time.monotonic()

    assert running.stop() == 0, running.output
    assert time.monotonic() - stopped_at < 3


#: A program that calls the command, and then tells what is not as it was before.
CALLING = """
import signal, sys, threading
from django.core.management import execute_from_command_line

numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]

def state():
    threads = [thread.name for thread in threading.enumerate()]
    return [*map(signal.getsignal, numbers), signal.pthread_sigmask(signal.SIG_BLOCK, []), threads]

signal.signal(signal.SIGUSR1, lambda *_: None)
before = state()
execute_from_command_line(sys.argv)
print("as before" if state() == before else state())
"""


@pytest.mark.parametrize("processes", [0, 1])
def test_after_a_call_of_the_command_signals_are_handled_as_before(start, client, processes):
    handle = client.dispatch_async("Good")

    running = start("--until-done", "--processes", processes, program=["-c", CALLING])

    assert running.end() == 0, running.output
    assert handle.exit_status == 0
    assert running.output.endswith("as before\n")


@pytest.mark.parametrize("what", ["thread", "exit handler"])
def test_what_a_job_left_behind_keeps_no_process_for_long(start, client, what):
    handle = client.dispatch_async("LeaveBehind", what)
    running = start()
    until(lambda: handle.exit_status == 0)

    stopped_at = time.monotonic()

    assert running.stop() == 0, running.output
    assert time.monotonic() - stopped_at < 10
    assert "left behind by a job and cut off: " in running.output


def test_a_stop_before_its_processes_are_ready_is_not_lost(start):
    running = start("--processes", 2)
    until(lambda: running.children)

    running.send_signal(signal.SIGTERM)

    assert running.end(20) == 0, running.output
    assert running.children == []


@pytest.mark.parametrize("seconds", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_stop_at_any_moment_of_the_start_leaves_no_process_and_no_job_half_done(
    client, start, seconds
):
    handle = client.dispatch_async("Good")
    running = start("--processes", 2)
    threading.Event().wait(seconds)
    below = descendants_of(running.process.pid)

    running.send_signal(signal.SIGTERM)

    assert running.end(20) in (0, -signal.SIGTERM), running.output
    until(lambda: not any(is_alive(pid) for pid in below))
    assert handle.exit_status == 0 or not handle.job.grabbed_until
    assert handle.failures == 0


def test_the_children_of_a_killed_supervisor_finish_their_jobs_and_leave(start, sleeper, client):
    handle, pid_of = sleeper(1.5)
    running = start("--processes", 2)
    child = pid_of()
    until(lambda: len(running.children) == 2)
    children = running.children

    running.send_signal(signal.SIGKILL)
    running.process.wait()
    other = start("--until-done")
    later = client.dispatch_async("Good")
    until(lambda: not any(is_alive(pid) for pid in children))

    assert child in children
    assert other.end() == 0, other.output
    assert [handle.exit_status, later.exit_status] == [0, 0]
    assert traces(handle) == ["begun", "done"]
    assert handle.failures == 0
