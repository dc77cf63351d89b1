"""Workers' code that leaves things behind, or raises what nobody expects: no other job suffers."""

import json

import pytest

from django_schwartz.models import Job
from tests.app.models import Trace
from tests.engine.test_leases import OVERDUE
from tests.processes import descendants_of
from tests.waiting import until


def done(handles):
    return [handle.exit_status for handle in handles]


def test_what_a_transaction_of_sql_was_left_around_is_not_lost(client, start):
    client.dispatch_async("LeaveOpen", "SQL")
    handles = client.dispatch_jobs(Job(funcname="Good") for _ in range(5))

    running = start("--threads", 1, "--until-done")

    assert running.end() == 0, running.output
    assert done(handles) == [0] * 5
    assert Trace.objects.count() == 5


@pytest.mark.only_on("postgresql")
def test_a_transaction_left_open_in_another_database_is_rolled_back(
    client, start, database, add_database
):
    add_database("second")
    client.dispatch_async("LeaveOpen", "second")
    handles = client.dispatch_jobs(Job(funcname="Elsewhere", arg="second") for _ in range(5))

    second = json.dumps({"second": {**_settings(database)}})
    running = start("--threads", 1, "--until-done", DJANGO_SCHWARTZ_TEST_DATABASES=second)

    assert running.end() == 0, running.output
    assert done(handles) == [0] * 5
    assert Trace.objects.count() == 5


def _settings(database):
    from django.db import connections

    return connections.settings[database]


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("how", ["return", "exit", "C"])
@pytest.mark.parametrize("processes", [0, 1])
def test_a_fork_that_comes_back_performs_nothing(client, start, how, processes):
    fork = client.dispatch_async("Fork", how)
    handles = client.dispatch_jobs(Job(funcname="Good") for _ in range(20))

    running = start("--processes", processes, "--threads", 1, "--until-done")

    assert running.end() == 0, running.output
    assert done([fork, *handles]) == [0] * 21
    assert Trace.objects.count() == 20
    assert descendants_of(running.process.pid) == []


@pytest.mark.only_on("sqlite")
def test_whatever_a_hook_raises_ends_no_thread(client, start):
    client.dispatch_jobs(Job(funcname="RaiseInAHook") for _ in range(3))
    handles = client.dispatch_jobs(Job(funcname="Good") for _ in range(3))

    running = start("--threads", 1)
    until(lambda: done(handles) == [0] * 3)

    assert running.stop() == 0, running.output


@pytest.mark.only_on("sqlite")
def test_coroutines_over_their_grab_for_are_told_so(client, start):
    handles = client.dispatch_jobs(Job(funcname="SleepOn") for _ in range(10))

    running = start("--until-done")

    assert running.end() == 0, running.output
    assert [handle.failure_log for handle in handles] == [[OVERDUE]] * 10
    assert "after its verdict" not in running.output


@pytest.mark.only_on("sqlite")
def test_a_coroutine_may_complete_a_copy_of_its_job(client, start):
    handles = [client.dispatch_async("CompleteACopy", how) for how in ("copy", "deepcopy")]

    running = start("--until-done")

    assert running.end() == 0, running.output
    assert done(handles) == [0, 0]


@pytest.mark.only_on("sqlite")
def test_a_project_that_disables_loggers_hears_of_outcomes_nevertheless(client, start):
    handle = client.dispatch_async("Good")

    running = start("--until-done", DJANGO_SETTINGS_MODULE="tests.engine.silencing_settings")

    assert running.end() == 0, running.output
    assert f"Good {handle} completed" in running.output
