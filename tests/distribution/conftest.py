"""Engines that are distributed, and what is asked of them."""

import pytest
from django.core.management import call_command
from django.db.backends.base.base import BaseDatabaseWrapper

from tests import postgres
from tests.conftest import ensure_connection
from tests.distribution.pair import pair as a_pair
from tests.distribution.patroni import PROGRAMS, patroni
from tests.distribution.programs import find
from tests.engine.conftest import start as start


@pytest.fixture
def threads_connect(monkeypatch):
    """Threads may connect to aliases that a test added."""
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", ensure_connection)


@pytest.fixture
def migrated(add_database, threads_connect):
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
    with a_pair(binaries) as made:
        yield made


@pytest.fixture
def cluster(binaries):
    missing = [name for name in PROGRAMS if find(name) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} (apt-get install patroni etcd-server)")
    with patroni(binaries) as made:
        yield made
