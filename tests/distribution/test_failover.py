"""D9, D10: a primary is gone, and its synchronous standby takes over; or that is away."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.models import ExitStatus
from tests.distribution.load import performed, working_through_it
from tests.faults import conftest as faults
from tests.threads import in_threads
from tests.waiting import until

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.timeout(150)]

#: An engine beside the test, and the args of the jobs that were performed.
working, performed_jobs = faults.working, faults.performed

DEADLINE_SECONDS = 2
#: Which session waits for the standby.
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def test_a_killed_primary_takes_no_acknowledged_dispatch_with_it(pair, migrated, start):
    alias = migrated("pair", **pair.place.settings)
    running = start("--processes", 2, **pair.place.environment)

    with working_through_it(alias, running):
        pair.kill_primary()
        pair.promote()

    assert running.stop() == 0, running.output


def test_patroni_fails_over_and_the_old_primary_comes_back_as_a_standby(cluster, migrated, start):
    alias = migrated("patroni", **cluster.place.settings)
    running = start("--processes", 2, **cluster.place.environment)
    old, new = cluster.leader(), cluster.standby()

    with working_through_it(alias, running):
        cluster.kill(old)
        until(lambda: cluster.leader() == new)
    cluster.start(old)
    until(lambda: cluster.standby() == old, 60)
    TheSchwartz([alias]).dispatch_async("Keep", -1)
    until(lambda: -1 in performed(alias))

    assert running.stop() == 0, running.output


def test_a_standby_that_lags_takes_what_was_acknowledged_meanwhile_with_it(asynchronous, migrated):
    """D9: what a commit promises is what the replication promises."""
    alias = migrated("pair", **asynchronous.place.settings)
    client = TheSchwartz([alias])
    kept = client.dispatch_async("Keep", 1)
    asynchronous.stop_standby()

    lost = client.dispatch_async("Keep", 2)
    connections[alias].close()
    asynchronous.kill_primary()
    asynchronous.start_standby()
    asynchronous.promote()

    assert kept.is_pending
    assert not lost.is_pending
    assert not ExitStatus.objects.using(alias).exists()


def test_while_the_only_synchronous_standby_is_away_a_dispatch_waits_for_it(pair, migrated):
    alias = migrated("pair", **pair.place.settings)
    client = TheSchwartz([alias])
    client.dispatch_async("Keep", 0)

    pair.stop_standby()
    with ThreadPoolExecutor(1) as pool:
        dispatch = pool.submit(in_threads, partial(client.dispatch_async, "Keep", 1))
        until(lambda: pair.ask(0, WAITING))
        is_waiting = not dispatch.done()
        pair.start_standby()
        [handle] = dispatch.result(20)

    assert is_waiting
    assert handle.is_pending


def test_while_the_standby_is_away_no_job_of_another_database_waits_for_longer_than_the_deadline(
    pair, migrated, database, working, performed_jobs
):
    alias = migrated("pair", **pair.place.settings)
    client, other = TheSchwartz([alias]), TheSchwartz([database])
    terms = {"lease_seconds": 60, "retry_seconds": 1, "deadline_seconds": DEADLINE_SECONDS}
    held = [client.dispatch_async("Mail", n, run_after=timedelta(seconds=5)) for n in range(5)]

    with working([database, alias], "Mail", **terms):
        pair.stop_standby()
        connections[alias].close()
        waits, end = [], time.monotonic() + 12
        while time.monotonic() < end:
            began = time.monotonic()
            handle = other.dispatch_async("Mail", "other")
            until(lambda handle=handle: not handle.is_pending)
            waits.append(time.monotonic() - began)
        hung = pair.ask(0, WAITING)
        pair.start_standby()
        until(lambda: not any(handle.is_pending for handle in held), 60)
        connections[alias].close()

    print(f"the longest of {len(waits)} waits {max(waits):.2f} s; a commit hung: {bool(hung)}")
    assert max(waits) < DEADLINE_SECONDS + 1
    assert {handle.exit_status for handle in held} == {0}
    assert {*performed_jobs} == {*range(5), "other"}
