"""Many hosts of workers; and one that nobody hears of any more."""

import signal
import time

import pytest
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job, WorkerProcess
from tests import pgbouncer, postgres
from tests.app.models import Trace
from tests.distribution.hosts import NETWORK, hosts, why_not
from tests.distribution.programs import programs_of
from tests.faults.conftest import performed as performed
from tests.faults.conftest import working as working
from tests.waiting import until

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.timeout(150)]
LEASE_SECONDS = 4


@pytest.fixture
def server(binaries):
    """The port of a server that other hosts may come to."""
    with programs_of("postgres") as programs:
        data, port = programs.folder / "data", pgbouncer.free_port()
        programs.run(binaries / "initdb", *postgres.INITDB_OPTIONS, "-D", data)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NETWORK} trust\n")
        command = [binaries / "postgres", "-D", data, "-k", programs.folder, "-p", port]
        options = ("-c", "fsync=off", "-c", "listen_addresses=*")
        process = programs.start(*command, *options, ending=signal.SIGQUIT)
        assert postgres.is_ready(process, data / "postmaster.pid")
        yield port


def traces(alias):
    return list(Trace.objects.using(alias).order_by("pk").values_list("what", flat=True))


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_the_jobs_of_a_host_that_is_cut_off_are_done_by_another(server, migrated, start):
    alias = migrated("shared", NAME="postgres", USER="postgres", HOST="127.0.0.1", PORT=server)
    with hosts() as both:
        for host in both:
            start(
                "--worker=Hang",
                prefix=host.prefix,
                DJANGO_SCHWARTZ_TEST_POSTGRES=f"user=postgres host={host.server} port={server}",
                DJANGO_SCHWARTZ_TEST_NAME="postgres",
                DJANGO_SCHWARTZ_TEST_MYSQL="none",
                DJANGO_SCHWARTZ_TEST_SETTINGS=f'{{"LEASE_SECONDS": {LEASE_SECONDS}}}',
            )
        living = WorkerProcess.objects.using(alias)
        until(lambda: {*living.values_list("host", flat=True)} == {"ann", "bob"})
        handle = TheSchwartz([alias]).dispatch_async("Hang", 8)
        until(lambda: traces(alias))
        [lost] = [host for host in both if host.name == traces(alias)[0]]
        [other] = [host for host in both if host is not lost]

        lost.cut_wire()
        began = time.monotonic()
        until(lambda: not Job.objects.using(alias).exists())
        seconds = time.monotonic() - began
        lost.mend_wire()

        print(f"done by the other host {seconds:.1f} s after the wire was cut")
        assert traces(alias) == [lost.name, other.name]
        assert seconds < LEASE_SECONDS + 2
        assert (handle.exit_status, handle.failures) == (0, 1)


def test_jobs_are_dispatched_and_done_through_djangos_pool(
    database, add_database, working, performed
):
    own = connections[database].settings_dict["OPTIONS"]
    options = {**own, "pool": {"min_size": 1, "max_size": 6}}
    alias = add_database("pooled", OPTIONS=options, CONN_MAX_AGE=0)

    handles = TheSchwartz([alias]).dispatch_jobs(Job(funcname="Mail", arg=n) for n in range(100))
    with working(alias, "Mail"):
        until(lambda: not any(handle.is_pending for handle in handles), 40)
    connections[alias].close()
    connections[alias].close_pool()

    assert sorted(performed) == list(range(100))
