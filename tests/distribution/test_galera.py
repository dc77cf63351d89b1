"""MariaDB Galera: workers and dispatchers at different nodes, and nodes that go."""

import pytest

from django_schwartz.client import TheSchwartz
from django_schwartz.models import Error, ExitStatus, Job
from tests.app.models import Trace
from tests.distribution.load import Load, working_through_it
from tests.mariadb import is_pymysql
from tests.threads import in_threads
from tests.waiting import until

pytestmark = [pytest.mark.only_on("mysql"), pytest.mark.timeout(200)]
NODES = range(3)


@pytest.fixture
def nodes(galera, migrated, add_database):
    """An alias for each node."""
    first = migrated("node0", **galera.place_of(0).settings)
    others = [add_database(f"node{n}", **galera.place_of(n).settings) for n in NODES[1:]]
    return [first, *others]


def test_workers_at_different_nodes_perform_each_job_once(galera, nodes, start):
    hosts = [start("--processes", 1, **galera.place_of(number).environment) for number in NODES]
    load = Load(*nodes)

    with load.running(threads=3):
        until(lambda: len(load.acknowledged) >= 600, 60)
    until(lambda: not Job.objects.using("node0").exists(), 60)

    traces = sorted((int(t.what), t.jobid) for t in Trace.objects.using("node0"))
    print(f"{len(traces)} jobs, {load.refused} refused, {galera.conflicts()} conflicts")
    assert traces == sorted(load.jobids.items())
    assert galera.conflicts()
    assert load.refused == 0
    assert not ExitStatus.objects.using("node0").exclude(status=0).exists()
    assert not Error.objects.using("node0").exists()
    for host in hosts:
        assert host.stop() == 0, host.output


def test_a_uniqkey_that_is_dispatched_at_all_nodes_at_once_is_queued_once(nodes):
    def dispatch(alias):
        client = TheSchwartz([alias])
        return lambda: [client.dispatch_async("Keep", uniqkey=str(n)) for n in range(100)]

    handles = [one for given in in_threads(*map(dispatch, nodes)) for one in given]

    assert Job.objects.using("node0").count() == 100
    assert sum(not handle.is_duplicate for handle in handles) == 100


def test_a_killed_node_takes_no_acknowledged_dispatch_with_it(galera, migrated, start):
    if is_pymysql():
        pytest.skip("PyMySQL knows no second host: this needs mysqlclient on MariaDB's library")
    place = galera.place_of(0, 1, 2)
    alias = migrated("galera", **place.settings)
    running = start("--processes", 2, **place.environment)

    with working_through_it(alias, running, back_seconds=20):
        galera.kill(0)

    assert running.stop() == 0, running.output
