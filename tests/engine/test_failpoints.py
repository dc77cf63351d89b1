"""A process killed at the worst moments: a job runs again, or was done; never neither."""

from tests.engine.conftest import traces

DEATH = "The worker died: signal 9 (SIGKILL)."


def test_a_job_is_performed_again_unless_its_completion_was_committed(client, start):
    before = client.dispatch_async("DieBeforeCompleted")
    inside = client.dispatch_async("DieInsideCompleted")

    running = start("--threads", 1, "--until-done")

    assert running.end() == 0, running.output
    assert traces(before) == ["worked", "worked"]
    assert before.failure_log == [DEATH]
    assert traces(inside) == ["begun", "begun", "worked"], running.output
    assert inside.failure_log == [DEATH]
    assert [before.exit_status, inside.exit_status] == [0, 0]


def test_a_job_whose_completion_was_committed_is_not_performed_again(client, start):
    handle = client.dispatch_async("DieAfterCompleted")

    running = start("--until-done")

    assert running.end() == 0, running.output
    assert "died: signal 9" in running.output
    assert traces(handle) == ["worked"]
    assert handle.failure_log == []
    assert handle.exit_status == 0


def test_what_was_grabbed_by_a_process_that_did_not_live_to_hear_of_it_is_free_at_once(
    client, start
):
    handle = client.dispatch_async("DieAfterGrab")

    running = start("--until-done")

    assert running.end() == 0, running.output
    assert traces(handle) == ["grabbed", "grabbed", "worked"]
    assert handle.failure_log == []
    assert handle.exit_status == 0
