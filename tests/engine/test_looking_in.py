"""What shows from outside that all is well: the date of a file, stacks in the log, titles."""

import os
import signal
import time

import pytest

from tests.conftest import ROOT
from tests.engine.conftest import said
from tests.waiting import until

pytestmark = pytest.mark.only_on("sqlite")


def test_the_healthcheck_has_the_date_of_the_last_sign_of_life(start, sleeper, tmp_path):
    _, pid_of = sleeper(60)
    file = tmp_path / "health"
    running = start("--healthcheck", file, "--shutdown-timeout", 0.1)
    pid = pid_of()

    until(lambda: time.time() - file.stat().st_mtime < 1.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: time.time() - file.stat().st_mtime > 3)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: time.time() - file.stat().st_mtime < 1.5)

    assert running.stop() == 0


@pytest.mark.parametrize("processes", [0, 1])
def test_without_the_folder_of_the_healthcheck_it_goes_on_until_that_is_back(
    start, sleeper, tmp_path, processes
):
    file = tmp_path / "folder" / "health"
    file.parent.mkdir()
    running = start("--healthcheck", file, "--processes", processes)
    until(file.exists)

    file.parent.rename(tmp_path / "away")
    running.wait_for("WARNING --healthcheck cannot be dated")
    handle, _ = sleeper(1)
    until(lambda: not handle.is_pending)
    (tmp_path / "away").rename(file.parent)
    until(lambda: time.time() - file.stat().st_mtime < 1.5)

    assert running.stop() == 0
    assert running.output.count("cannot be dated") == 1


def test_sigusr1_shows_where_every_thread_is(start, sleeper):
    _, pid_of = sleeper(60)
    running = start("--shutdown-timeout", 0.1)
    pid_of()

    running.send_signal(signal.SIGUSR1)
    running.wait_for('time.sleep(job.arg["seconds"])')

    [child] = running.children
    for thread in ("MainThread", "settler", "beat", "worker-1"):
        assert f"stack of thread {thread} in worker 1 ({child}):" in running.output
    assert f"stack of thread MainThread in MainProcess ({running.process.pid}):" in running.output
    assert "_supervise" in running.output
    assert running.stop() == 0


def test_sigusr1_does_not_end_a_runner_without_processes(start, sleeper):
    handle, pid_of = sleeper(2)
    running = start("--processes", 0)
    pid_of()

    running.send_signal(signal.SIGUSR1)
    running.wait_for('time.sleep(job.arg["seconds"])')
    until(lambda: not handle.is_pending)

    assert running.stop() == 0


@pytest.mark.parametrize("environment", [{}, {"PYTHONPATH": str(ROOT)}], ids=["", "PYTHONPATH"])
def test_processes_tell_what_they_do(start, environment):
    pytest.importorskip("setproctitle")
    titles = ["runschwartz: worker 1", "runschwartz: worker 2"]

    running = start("--processes", 2, **environment)
    until(lambda: sorted(map(said, running.children)) == titles)

    assert said(running.process.pid) == "runschwartz: supervisor of 2 processes"
    assert running.stop() == 0
