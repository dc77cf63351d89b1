"""Engines that are distributed, and what is asked of them."""

from functools import partial
from pathlib import Path

import pytest
from django.core.management import call_command

from tests import mariadb, postgres
from tests.distribution.galera import LIBRARY, Galera
from tests.distribution.pair import Pair
from tests.distribution.patroni import PROGRAMS, Cluster
from tests.distribution.programs import find, programs_of
from tests.engine import conftest as engine

#: `runschwartz` processes as the tests of the engine start them.
started = engine.start


@pytest.fixture
def start(started):
    """Start `runschwartz` with these options, and the workers of these tests."""
    return partial(started, "--worker=Keep", DJANGO_SCHWARTZ_TEST_APP="tests.distribution.jobs")


@pytest.fixture
def migrated(add_database, any_thread_connects):
    """Add an alias for a database that these settings lead to, and make its tables."""

    def add(alias, **settings):
        add_database(alias, **settings)
        call_command("migrate", "django_schwartz", database=alias, verbosity=0)
        call_command("migrate", "app", database=alias, verbosity=0, run_syncdb=True)
        return alias

    return add


@pytest.fixture
def binaries():
    """The folder of PostgreSQL's programs, with those that copy a server."""
    found = next((path for path in postgres.debian() if (path / "pg_basebackup").exists()), None)
    if found is None:
        pytest.skip("no pg_basebackup (apt-get install postgresql)")
    return found


@pytest.fixture
def pair(binaries):
    """A primary and its synchronous standby."""
    with programs_of("postgres") as programs:
        made = Pair(programs, binaries)
        made.make()
        yield made


@pytest.fixture
def asynchronous(binaries):
    """A primary and a standby that no commit waits for."""
    with programs_of("postgres") as programs:
        made = Pair(programs, binaries)
        made.make(options=())
        yield made


@pytest.fixture
def cluster(binaries):
    """A primary and a standby that Patroni watches over."""
    if missing := [name for name in PROGRAMS if find(name) is None]:
        pytest.skip(f"no {' and no '.join(missing)} (apt-get install patroni etcd-server)")
    with programs_of("postgres") as programs:
        made = Cluster(programs, binaries)
        made.make()
        yield made


@pytest.fixture
def galera():
    """Three nodes of MariaDB's."""
    if not (Path(LIBRARY).exists() and mariadb.programs() and find("rsync")):
        pytest.skip("no Galera (apt-get install mariadb-server galera-4 rsync)")
    with programs_of("mysql") as programs:
        made = Galera(programs, nodes=3)
        made.make()
        yield made
