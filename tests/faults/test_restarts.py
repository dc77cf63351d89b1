"""D1, D2: the server restarts while the queue idles, and while it works."""

import time
from datetime import timedelta

import pytest
from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Error, Job
from tests.waiting import until

pytestmark = pytest.mark.only_on("postgresql")


@pytest.mark.parametrize("how", ["fast", "immediate", "crash"])
def test_an_idle_worker_goes_on_when_the_server_is_back(broken, working, performed, how):
    with working("broken", "Mail", retry_seconds=30) as thread:
        TheSchwartz(["broken"]).dispatch_async("Mail", "before")
        until(lambda: performed == ["before"])
        held = TheSchwartz(["broken"]).dispatch_async("Mail", "later", run_after=timedelta(hours=1))

        connections["broken"].close()
        broken.restart(how)
        began = time.monotonic()
        TheSchwartz(["broken"]).dispatch_async("Mail", "after")

        until(lambda: performed == ["before", "after"])
        seconds = time.monotonic() - began
        assert thread.is_alive()
        assert held.is_pending
    assert seconds < 1


def test_an_outcome_waits_for_the_server(broken, working):
    performed = []

    @register
    class Mail(Worker):
        keep_exit_status_for = 100

        def work(self, job):
            broken.down("immediate")
            performed.append(job.arg)
            job.completed()

    handle = TheSchwartz(["broken"]).dispatch_async("Mail", "once")
    connections["broken"].close()

    with working("broken", "Mail", lease_seconds=60):
        until(lambda: performed)
        broken.up()
        until(lambda: not Job.objects.using("broken").exists())

    assert performed == ["once"]
    assert handle.exit_status == 0


def test_what_was_grabbed_ahead_is_given_back_when_the_server_is_back(broken, working):
    performed = []

    @register
    class Ahead(Worker):
        def work(self, job):
            time.sleep(0.2)
            performed.append(job.arg)
            job.completed()

    client = TheSchwartz(["broken"])
    client.dispatch_jobs([Job(funcname="Ahead", arg=n) for n in range(60)])
    connections["broken"].close()

    with working("broken", "Ahead", lease_seconds=60):
        until(lambda: len(performed) > 4)
        broken.down("fast")
        time.sleep(2)
        broken.up()
        until(lambda: not Job.objects.using("broken").exists(), 30)

    assert sorted(performed) == list(range(60))
    assert not Error.objects.using("broken").exists()


def test_a_failure_outlasts_a_server_that_is_away_for_long(broken, working):
    failed = []

    @register
    class Late(Worker):
        max_retries = 3
        keep_exit_status_for = 100

        def work(self, job):
            if job.failures:
                job.completed()
            else:
                broken.down("immediate")
                failed.append(job.failed("not yet"))

    handle = TheSchwartz(["broken"]).dispatch_async("Late")
    connections["broken"].close()

    with working("broken", "Late", lease_seconds=60):
        until(lambda: failed)
        time.sleep(17)
        broken.up()
        until(lambda: not Job.objects.using("broken").exists(), 20)

    assert handle.failure_log == ["not yet"]
    assert handle.exit_status == 0


@pytest.mark.timeout(310)
def test_a_storm_over_restarts_loses_nothing(broken, manage):
    own = {
        "DJANGO_SCHWARTZ_TEST_POSTGRES": f"user=postgres host={broken.folder}",
        "DJANGO_SCHWARTZ_TEST_NAME": "postgres",
        "DJANGO_SCHWARTZ_TEST_MYSQL": "none",
    }
    restart = f"kill -HUP {broken.keeper.pid}"
    arguments = ["--seconds", 25, "--jobs", 300, "--restart-command", restart]

    process = manage("schwartz_torture", *arguments, **own)
    told, _ = process.communicate(timeout=300)

    assert process.returncode == 0, told
    assert "restart of the database" in told


def test_an_outcome_that_waits_for_its_server_keeps_none_of_another_waiting(
    broken, database, working
):
    ended = []

    @register
    class Mail(Worker):
        keep_exit_status_for = 100

        def work(self, job):
            if job.arg == "down":
                broken.down("immediate")
            job.completed()
            ended.append(job.arg)

    waiting = TheSchwartz(["broken"]).dispatch_async("Mail", "down")
    connections["broken"].close()

    with working([database, "broken"], "Mail", lease_seconds=60):
        until(lambda: ended == ["down"])
        other = TheSchwartz([database]).dispatch_async("Mail", "other")
        try:
            until(lambda: not other.is_pending, 3)
        finally:
            broken.up()
        until(lambda: not waiting.is_pending)

    assert (waiting.exit_status, other.exit_status) == (0, 0)


def test_a_verdict_that_its_worker_waits_for_keeps_a_thread_no_longer_than_the_deadline(
    broken, database, working, settings
):
    settings.SCHWARTZ = {"DATABASES": [database, "broken"], "DEADLINE_SECONDS": 1}
    replaced = []

    @register
    class Mail(Worker):
        keep_exit_status_for = 100

        def work(self, job):
            if job.arg == "other":
                job.completed()
                return
            if not replaced:
                replaced.append(broken.down("immediate"))
            job.replace_with(Job(funcname="Mail", arg="other"))

    TheSchwartz(["broken"]).dispatch_jobs([Job(funcname="Mail", arg=n) for n in range(2)])
    connections["broken"].close()

    with working([database, "broken"], "Mail", lease_seconds=6, deadline_seconds=1):
        until(lambda: replaced)
        other = TheSchwartz([database]).dispatch_async("Mail", "other")
        try:
            until(lambda: not other.is_pending, 5)
        finally:
            broken.up()
        until(lambda: not Job.objects.using("broken").exists())

    assert other.exit_status == 0
