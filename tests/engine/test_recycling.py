"""A process that has done its share, or holds too much memory, is replaced between two jobs."""

import os
from pathlib import Path

import pytest

from django_schwartz.models import Job
from tests.app.models import Trace
from tests.waiting import until

pytestmark = pytest.mark.only_on("sqlite")


@pytest.mark.parametrize(
    "limit",
    [("--max-jobs", 1), ("--max-jobs", 5), ("--max-age", 1.5), ("--max-rss", 1)],
    ids=str,
)
def test_a_process_over_its_limit_is_replaced_and_no_job_suffers(client, start, limit):
    running = start(*limit)
    until(lambda: running.children)
    first = running.children

    handles = [client.dispatch_async("Good", 0.01) for _ in range(12)]
    until(lambda: first[0] not in running.children)
    until(lambda: Trace.objects.count() >= 12)

    assert "died" not in running.output
    assert f"worker 1 ({first[0]}) has done its share: replaced" in running.output
    assert running.stop() == 0, running.output
    assert Trace.objects.count() == 12
    assert [handle.exit_status for handle in handles] == [0] * 12


def test_after_many_processes_the_supervisor_is_as_it_was(client, start):
    running = start("--max-jobs", 1)
    after = {}

    for many in (20, 120):
        handles = client.dispatch_jobs(Job(funcname="Good") for _ in range(many))
        until(lambda: all(handle.exit_status == 0 for handle in handles), 60)  # noqa: B023
        after[many] = files_and_megabytes(running.process.pid)

    assert "died" not in running.output
    assert running.stop() == 0, running.output
    assert after[120][0] <= after[20][0] + 2
    assert after[120][1] <= after[20][1] + 3


def files_and_megabytes(pid):
    """What a process has open, and holds of memory."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), resident / 1_000_000


def test_a_process_that_holds_too_much_memory_is_replaced(client, start):
    handle = client.dispatch_async("Hoard", 300)
    running = start("--max-rss", 250)
    until(lambda: running.children)
    first = running.children

    until(lambda: handle.exit_status == 0)
    until(lambda: running.children not in ([], first))
    second = running.children
    after = client.dispatch_async("Good")
    until(lambda: after.exit_status == 0)

    assert running.children == second
    assert "died" not in running.output
    assert running.stop() == 0, running.output
