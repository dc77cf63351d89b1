"""A process killed at the worst moments: a job runs again, or was done; never neither."""

import pytest

from tests.engine.conftest import traces

DEATH = "The worker died: signal 9 (SIGKILL)."

pytestmark = pytest.mark.only_on("sqlite", "postgresql")


def test_a_job_is_performed_again_unless_its_completion_was_committed(client, start):
    before = client.dispatch_async("DieBeforeCompleted")
    inside = client.dispatch_async("DieInsideCompleted")
    after = client.dispatch_async("DieAfterCompleted")
    grabbed = client.dispatch_async("DieAfterGrab")

    running = start("--threads", 1, "--until-done")

    assert running.end() == 0, running.output
    assert traces(before) == ["worked", "worked"]
    assert before.failure_log == [DEATH]
    assert traces(inside) == ["begun", "begun", "worked"]
    assert inside.failure_log == [DEATH]
    assert traces(after) == ["worked"]
    assert after.failure_log == []
    assert traces(grabbed) == ["grabbed", "grabbed", "worked"]
    assert grabbed.failure_log == []
    handles = [before, inside, after, grabbed]
    assert [handle.exit_status for handle in handles] == [0, 0, 0, 0]
