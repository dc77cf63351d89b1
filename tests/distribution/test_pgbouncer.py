"""D20: dispatchers and workers behind PgBouncer in transaction mode."""

from contextlib import ExitStack

import pytest
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job
from tests import pgbouncer
from tests.distribution.load import performed, working_through_it
from tests.waiting import until

pytestmark = [
    pytest.mark.only_on("postgresql"),
    pytest.mark.timeout(150),
    pytest.mark.skipif(
        pgbouncer.find() is None, reason="no pgbouncer on PATH (apt-get install pgbouncer)"
    ),
]
#: Sessions of the server, far fewer than the connections of the workers: 16 and the supervisor's.
SESSIONS = 3


def of_a_child(through, connection):
    """What leads the child processes of a test through PgBouncer."""
    user = connection.connection.info.user
    return {
        "DJANGO_SCHWARTZ_TEST_POSTGRES": f"host=127.0.0.1 port={through['PORT']} user={user}",
        "DJANGO_SCHWARTZ_TEST_MYSQL": "none",
    }


@pytest.fixture
def pooled(database, tmp_path):
    """Start PgBouncer on this port."""

    def pool(port=None):
        place = tmp_path / str(port)
        place.mkdir(exist_ok=True)
        return pgbouncer.in_front_of(connections[database], place, port=port, size=SESSIONS)

    return pool


def test_a_pooler_that_is_restarted_under_load_loses_nothing(pooled, database, migrated, start):
    port = pgbouncer.free_port()
    with ExitStack() as first, ExitStack() as second:
        through = first.enter_context(pooled(port))
        alias = migrated("pooled", **through)
        running = start("--processes", 2, **of_a_child(through, connections[database]))
        running.wait_for("a pooler that does not pass on NOTIFY")

        with working_through_it(alias, running):
            first.close()
            second.enter_context(pooled(port))

        assert running.stop() == 0, running.output
        connections[alias].close()


@pytest.mark.parametrize("options", [{}, {"server_side_binding": True}], ids=["", "bound by it"])
def test_many_are_dispatched_at_once(pooled, database, migrated, start, options):
    with pooled() as through:
        own = connections[database].settings_dict["OPTIONS"]
        alias = migrated("pooled", **through, OPTIONS={**own, **options})
        running = start("--processes", 2, **of_a_child(through, connections[database]))
        client = TheSchwartz([alias])

        client.dispatch_jobs(Job(funcname="Keep", arg=number) for number in range(200))
        client.dispatch_jobs(
            Job(funcname="Keep", arg=number, uniqkey=str(number)) for number in range(200, 300)
        )
        until(lambda: not Job.objects.using(alias).exists(), 40)

        assert performed(alias) == dict.fromkeys(range(300), 1)
        assert running.stop() == 0, running.output
        connections[alias].close()


def test_single_dispatches_are_prepared_in_no_session(pooled, database, migrated, add_database):
    with pooled() as through:
        aliases = [migrated("pooled", **through), add_database("also pooled", **through)]

        for number in range(20):
            for alias in aliases:
                TheSchwartz([alias]).dispatch_async("Keep", number)

        for alias in aliases:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT statement FROM pg_prepared_statements")
                assert cursor.fetchall() == []
            connections[alias].close()
        assert Job.objects.using(database).count() == 40
