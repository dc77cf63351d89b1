"""Databases that go away under a worker, or are busy: no job is lost, and none done twice."""

import threading
from collections import Counter
from contextlib import suppress

import pytest
from django.db import Error, connections

from django_schwartz.models import Job
from tests.app.models import Trace
from tests.threads import in_threads
from tests.waiting import until


def end_every_session(database):
    with suppress(Error), connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.only_on("postgresql")
def test_sessions_that_end_while_jobs_run_lose_none_of_them(client, start, sleeper, database):
    long, pid_of = sleeper(2)
    jobs = [client.dispatch_async("Good", 0.02) for _ in range(100)]
    running = start("--processes", 2)
    child = pid_of()

    for done in (10, 40, 70):
        until(lambda done=done: Trace.objects.filter(what="done").count() >= done)
        end_every_session(database)
    until(lambda: not Job.objects.exists(), 40)

    assert child in running.children
    # 1 where the statement that failed was the worker's own
    assert {handle.exit_status for handle in jobs} <= {0, 1}
    assert long.exit_status == 0
    assert "died" not in running.output
    assert running.stop() == 0, running.output


@pytest.mark.only_on("postgresql")
def test_a_session_that_ended_while_its_thread_was_idle_fails_no_job(client, start, database):
    running = start("--threads", 4)
    before = [client.dispatch_async("Good", 0.2) for _ in range(8)]
    until(lambda: not Job.objects.exists())

    threading.Event().wait(1)
    end_every_session(database)
    after = [client.dispatch_async("Good", 0.2) for _ in range(8)]
    until(lambda: not Job.objects.exists())

    assert {handle.exit_status for handle in (*before, *after)} == {0}
    assert running.stop() == 0, running.output


@pytest.mark.only_on("postgresql")
def test_a_worker_ends_with_no_job_left_though_sessions_end_all_the_time(client, start, database):
    client.dispatch_jobs(Job(funcname="Good") for _ in range(1000))
    running = start("--until-done")

    def has_ended():
        end_every_session(database)
        return running.process.poll() is not None

    until(has_ended)

    assert running.end() == 0, running.output
    assert not Job.objects.exists()


@pytest.mark.only_on("sqlite")
def test_sqlite_serves_six_writers_and_two_workers(client, start):
    running = start("--processes", 2)

    def write():
        return [client.dispatch_async("Good") for _ in range(50)]

    handles = [handle for written in in_threads(*[write] * 6) for handle in written]
    until(lambda: not Job.objects.exists(), 40)

    assert {handle.exit_status for handle in handles} == {0}
    performed = Counter(Trace.objects.values_list("jobid", flat=True))
    assert performed == {handle.jobid: 1 for handle in handles}
    assert "locked" not in running.output
    assert running.stop() == 0, running.output
