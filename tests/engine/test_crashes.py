"""A worker process that dies: its job is charged, comes back at once, and no other suffers."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.engine.conftest import traces
from tests.waiting import until

ENDS = {
    "SIGKILL": "The worker died: signal 9 (SIGKILL).",
    "SIGSEGV": "The worker died: signal 11 (SIGSEGV).",
    "SIGABRT": "The worker died: signal 6 (SIGABRT).",
    "exit": "The worker died: exit code 3.",
}


def test_a_job_whose_process_dies_is_told_how_and_performed_again(client, start):
    handles = {how: client.dispatch_async("Die", how) for how in ENDS}

    running = start("--threads", 1, "--until-done")

    assert running.end() == 0, running.output
    assert {how: handle.failure_log for how, handle in handles.items()} == {
        how: [message] for how, message in ENDS.items()
    }
    assert {how: traces(handle) for how, handle in handles.items()} == {
        how: ["begun", "begun"] for how in ENDS
    }
    assert [handle.exit_status for handle in handles.values()] == [0, 0, 0, 0]
    for message in ENDS.values():
        assert f"died: {message.removeprefix('The worker died: ').removesuffix('.')}" in (
            running.output
        )


def test_the_job_of_a_killed_process_comes_back_within_seconds(start, sleeper):
    handle, pid_of = sleeper(0.5)
    running = start("--processes", 2)
    first = pid_of()

    killed_at = time.monotonic()
    os.kill(first, signal.SIGKILL)
    until(lambda: handle.failures == 1)
    charged_after = time.monotonic() - killed_at
    until(lambda: not handle.is_pending)

    assert charged_after < 3
    assert handle.failure_log == ["The worker died: signal 9 (SIGKILL)."]
    assert handle.exit_status == 0
    until(lambda: len(running.children) == 2)
    assert first not in running.children
    assert running.stop() == 0


@pytest.fixture
def small_memory():
    """The folder of a control group whose processes are killed when they hold 64 MB."""
    folder = Path(f"/sys/fs/cgroup/memory/schwartz_{os.getpid()}")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no control group can be made: that takes root, and groups of version 1")
    (folder / "memory.limit_in_bytes").write_text("64000000")
    yield folder
    folder.rmdir()


def test_a_job_whose_process_the_kernel_ends_for_its_memory_is_performed_again(
    client, start, small_memory
):
    handle = client.dispatch_async("OutOfMemory", str(small_memory))

    running = start("--threads", 1, "--until-done")

    assert running.end() == 0, running.output
    assert "oom_kill 1" in (small_memory / "memory.oom_control").read_text()
    assert handle.failure_log == ["The worker died: signal 9 (SIGKILL)."]
    assert handle.exit_status == 0


def test_crash_suspects_are_isolated_and_only_those_that_die_alone_are_charged(client, start):
    good = [client.dispatch_async("Good", 0.02) for _ in range(30)]
    bad = [client.dispatch_async("Poison") for _ in range(3)]

    running = start("--processes", 2, "--threads", 4, "--until-done")

    assert running.end(100) == 0, running.output
    assert [handle.exit_status for handle in good] == [0] * 30
    assert [handle.failures for handle in good] == [0] * 30
    assert [handle.exit_status for handle in bad] == [1] * 3
    assert [handle.failure_log for handle in bad] == [
        ["The worker died: signal 9 (SIGKILL)."] * 2
    ] * 3


@pytest.mark.only_on("sqlite")
def test_a_job_that_silences_its_process_is_charged_alone_and_no_other_suffers(
    client, start_with_short_leases
):
    beside = [client.dispatch_async("Good", 0.5) for _ in range(3)]
    silent = client.dispatch_async("KeepInterpreter")
    waiting = [client.dispatch_async("Good") for _ in range(3)]

    running = start_with_short_leases("--until-done")

    assert running.end(100) == 0, running.output
    assert [handle.exit_status for handle in [*beside, *waiting]] == [0] * 6
    assert [handle.failures for handle in [*beside, *waiting]] == [0] * 6
    assert silent.exit_status == 1
    assert [message.rstrip(".0123456789 s") for message in silent.failure_log] == [
        "The worker died: it gave no sign of life for"
    ] * 2


@pytest.mark.only_on("sqlite")
def test_what_the_last_death_released_is_performed_too(client, start):
    bad = [client.dispatch_async("Poison") for _ in range(2)]

    running = start("--until-done")

    assert running.end() == 0, running.output
    assert [handle.exit_status for handle in bad] == [1, 1]


def test_odd_ends_of_a_job_are_its_failures_and_its_process_lives(client, start):
    names = ["Exit", "Interrupted", "NoMemory", "OddError", "OddArg"]
    handles = {name: client.dispatch_async(name) for name in names}
    good = client.dispatch_async("Good")
    unknown = client.dispatch_async("Unheard")

    running = start("--until-done")

    assert running.end() == 0, running.output
    assert "died" not in running.output
    logs = {name: handles[name].failure_log for name in names}
    assert logs["Exit"] == ["SystemExit: 4"]
    assert logs["Interrupted"] == ["KeyboardInterrupt: "]
    assert logs["NoMemory"][0].startswith("MemoryError")
    assert logs["OddError"][0].startswith(r"ValueError: nul \x00 surrogate \ud800 xxx")
    assert logs["OddArg"] == [r"again \udfff\x00"]
    assert [handle.exit_status for handle in handles.values()] == [1, 1, 1, 1, 0]
    assert good.exit_status == 0
    assert unknown.is_pending
    assert unknown.failures == 0
    assert unknown.job.grabs == 0
