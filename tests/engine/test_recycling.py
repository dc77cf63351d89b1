"""A process that has done its share, or holds too much memory, is replaced between two jobs."""

import pytest

from tests.app.models import Trace
from tests.waiting import until

pytestmark = pytest.mark.only_on("sqlite")


@pytest.mark.parametrize(
    "limit",
    [("--max-jobs", 5), ("--max-age", 1.5)],
    ids=lambda limit: limit[0],
)
def test_a_process_over_its_limit_is_replaced_and_no_job_suffers(client, start, limit):
    running = start(*limit)
    until(lambda: running.children)
    first = running.children

    handles = [client.dispatch_async("Good", 0.01) for _ in range(12)]
    until(lambda: first[0] not in running.children)
    until(lambda: Trace.objects.count() >= 12)

    assert "died" not in running.output
    assert running.stop() == 0, running.output
    assert Trace.objects.count() == 12
    assert [handle.exit_status for handle in handles] == [0] * 12


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
