"""D8: a server that is frozen: its kernel still answers, so no timeout of the network's ends."""

import threading
import time

import pytest
from django.core.management import call_command
from django.db import connections

from django_schwartz import Worker, register, signals
from django_schwartz.client import TheSchwartz
from django_schwartz.models import ExitStatus, Job
from tests.faults.test_several_databases import longest_wait
from tests.waiting import until

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.timeout(150)]
DEADLINE_SECONDS = 2


def dispatch_for(seconds, client):
    """Dispatch a job every 20 ms; give the handles."""
    handles, pause, end = [], threading.Event(), time.monotonic() + seconds
    while time.monotonic() < end:
        handles.append(client.dispatch_async("Mail", len(handles)))
        pause.wait(0.02)
    return handles


@pytest.mark.parametrize("seconds_idle", [0, 1], ids=["at work", "idle"])
def test_a_frozen_database_holds_up_no_job_of_another_for_longer_than_the_deadline(
    broken, database, working, client, performed, seconds_idle
):
    TheSchwartz(["broken"]).dispatch_async("Mail", "before")
    connections["broken"].close()
    terms = {"lease_seconds": 60, "retry_seconds": 2, "deadline_seconds": DEADLINE_SECONDS}

    with working([database, "broken"], "Mail", **terms):
        until(lambda: performed == ["before"])
        threading.Event().wait(seconds_idle)
        broken.freeze()
        threads = threading.active_count()
        handles = dispatch_for(12, client)
        most = threading.active_count() - threads
        until(lambda: not Job.objects.using(database).exists())
        longest = longest_wait(database)
        broken.thaw()
        after = TheSchwartz(["broken"]).dispatch_async("Mail", "after")
        until(lambda: not after.is_pending)
        connections["broken"].close()

    print(f"{len(handles)} jobs, the longest wait {longest:.2f} s, {most} threads more")
    assert sorted(performed, key=str) == sorted([*range(len(handles)), "before", "after"], key=str)
    assert longest < DEADLINE_SECONDS + 1
    assert most <= 1


def test_a_worker_without_processes_tells_of_a_frozen_database_and_goes_on(
    broken, database, client, performed, settings
):
    told = []

    def died(*, using, **_):
        told.append(using)

    settings.SCHWARTZ = {"DEADLINE_SECONDS": DEADLINE_SECONDS}
    signals.database_died.connect(died)
    client.dispatch_async("Mail", "other")
    connections["broken"].close()
    broken.freeze()
    begun_at = time.monotonic()

    call_command(
        "runschwartz",
        *("--processes=0", "--no-reload", "--max-jobs=1"),
        *("--database=broken", f"--database={database}"),
    )

    took = time.monotonic() - begun_at
    broken.thaw()
    assert performed == ["other"]
    assert told == ["broken"]
    assert took < 4 * DEADLINE_SECONDS


def test_leases_in_the_other_databases_are_renewed_and_jobs_in_the_frozen_one_are_not_lost(
    broken, database, working, client
):
    begun, go_on, ended = [], threading.Event(), []

    @register
    class Long(Worker):
        keep_exit_status_for = 1000

        def work(self, job):
            begun.append(job.arg)
            go_on.wait(60)
            ended.append(job.arg)
            job.completed()

    frozen = TheSchwartz(["broken"]).dispatch_async("Long", "frozen")
    other = client.dispatch_async("Long", "other")
    connections["broken"].close()
    terms = {"lease_seconds": 6, "retry_seconds": 1, "deadline_seconds": DEADLINE_SECONDS}

    with working([database, "broken"], "Long", **terms):
        until(lambda: len(begun) == 2)
        broken.freeze()
        threading.Event().wait(10)  # longer than a lease
        row = Job.objects.using(database).get()
        is_held = Job.objects.using(database).grabbed().exists()
        go_on.set()
        until(lambda: not other.is_pending)
        broken.thaw()
        until(lambda: not frozen.is_pending, 40)
        connections["broken"].close()

    assert is_held
    assert row.grabs == 1
    assert begun.count("other") == 1
    assert set(ended) == {"other", "frozen"}
    assert ExitStatus.objects.using("broken").get().status == 0
