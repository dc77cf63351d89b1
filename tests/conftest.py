"""What all tests share: the database a test is on, and a registry that forgets its workers."""

import gc
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TestCase

from django_schwartz import dialects
from django_schwartz.apps import make_functions
from django_schwartz.client import TheSchwartz
from django_schwartz.databases import known_deaths
from django_schwartz.models import FuncMap
from django_schwartz.wakeup import announcing
from tests import router
from tests import settings as test_settings
from tests.cases import run_case

pytest_plugins = ["tests.plugin_no_skip", "django_schwartz.pytest_plugin"]

ROOT = Path(__file__).parent.parent
DATABASES = ["sqlite", "postgresql", "mysql"]
TWO_DATABASES = ["sqlite", "postgresql"]


def pytest_addoption(parser):
    parser.addoption("--database", choices=DATABASES, help="only the tests on this database")


def pytest_report_header(config):
    servers = {"PostgreSQL": test_settings.POSTGRES, "MariaDB": test_settings.MARIADB}
    return [
        server.description if server else f"no {kind}: its tests are SKIPPED"
        for kind, server in servers.items()
    ]


def pytest_configure(config):
    config.addinivalue_line("markers", "only_on(*aliases): the databases that the test is about")
    if only := config.getoption("database"):
        os.environ["DJANGO_SCHWARTZ_TEST_ONLY"] = only


def pytest_generate_tests(metafunc):
    if "database" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("only_on")
        metafunc.parametrize("database", marked.args if marked else DATABASES, indirect=True)


def pytest_collection_modifyitems(config, items):
    if only := config.getoption("database"):
        others = [item for item in items if database_of(item) not in {None, only}]
        items[:] = [item for item in items if database_of(item) in {None, only}]
        config.hook.pytest_deselected(items=others)
    for item in items:
        wanted = databases_of(item)
        there = [alias for alias in wanted if alias in connections.settings]  # or it is skipped
        if wanted:
            item.add_marker(pytest.mark.django_db(transaction=True, databases=there))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    if nextitem is None:  # a thread that ended closes its connection when that is collected
        gc.collect()


def database_of(item):
    """The alias of the database that a test runs on, if it is on one."""
    return item.callspec.params.get("database") if hasattr(item, "callspec") else None


def databases_of(item):
    """The aliases of the databases that a test needs."""
    if "database" in getattr(item, "fixturenames", ()):
        return [database_of(item)]
    return TWO_DATABASES if "two_databases" in getattr(item, "fixturenames", ()) else []


@pytest.fixture
def database(request, settings, monkeypatch, _django_db_marker):
    """The alias of the database that the test runs on: SQLite, PostgreSQL, MariaDB in turn."""
    alias = request.param
    skip_without(alias)
    monkeypatch.setattr(router, "current", alias)
    settings.SCHWARTZ = {"DATABASES": [alias]}
    FuncMap.objects.forget(using=alias)
    return alias


@pytest.fixture
def two_databases(settings, _django_db_marker):
    """The aliases of two databases that both hold a queue."""
    skip_without("postgresql")
    settings.SCHWARTZ = {"DATABASES": TWO_DATABASES}
    for alias in TWO_DATABASES:
        FuncMap.objects.forget(using=alias)
    return TWO_DATABASES


def skip_without(alias):
    if alias not in connections.settings:
        pytest.skip(f"no server of {alias}, and none could be started")


def ensure_connection(connection):
    """As Django's own, which its test cases allow for no database but theirs."""
    if connection.connection is None:
        with connection.wrap_database_errors:
            connection.connect()


@pytest.fixture
def any_thread_connects(monkeypatch):
    """Threads may connect to aliases that a test added."""
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", ensure_connection)


@pytest.fixture
def add_database(database):
    """Add an alias for a database of the same kind, which other settings lead to."""
    added = []

    def add(alias, **other):
        connections.settings[alias] = {**connections.settings[database], **other}
        added.append(alias)
        FuncMap.objects.forget(using=alias)
        connection = connections[alias]
        connection.ensure_connection = partial(ensure_connection, connection)
        return alias

    yield add
    for alias in added:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


@pytest.fixture
def dead_database(database, add_database):
    """The alias of a database of the same kind that cannot be reached."""
    nowhere = {
        "sqlite": {"NAME": "/nowhere/at/all"},
        "postgresql": {"HOST": "127.0.0.1", "PORT": 1},
        "mysql": {"HOST": "127.0.0.1", "PORT": 1},
    }
    return add_database("dead", **nowhere[database])


@pytest.fixture(scope="session", autouse=True)
def _quick_flush():
    """Between tests delete the few rows that there are, and let the content types be.

    TRUNCATE takes half a second, and to make the content types and permissions anew as long again.
    """

    def delete(operations, style, tables, **_):
        emptied = sorted({*tables} - {"django_content_type", "auth_permission"})
        deletes = [f"DELETE FROM {operations.quote_name(table)}" for table in emptied]
        if operations.connection.vendor != "mysql":  # which knows no deferred constraint
            return deletes
        return ["SET foreign_key_checks = 0", *deletes, "SET foreign_key_checks = 1"]

    def make_functions_again(verbosity, interactive, db, **_):
        make_functions(using=db)

    with pytest.MonkeyPatch.context() as patch:
        for alias in {*DATABASES} & {*connections.settings}:
            patch.setattr(type(connections[alias].ops), "sql_flush", delete)
        patch.setattr(
            "django.core.management.commands.flush.emit_post_migrate_signal", make_functions_again
        )
        yield


class Portable(dialects.Dialect):
    """What every database can do, on one that could do better."""


@pytest.fixture(params=["its own dialect", "portable"])
def dialect(request, database, monkeypatch):
    """The dialect of the database; once more, the portable one that any database can do with."""
    own = dialects.dialect_of(connections[database])
    if request.param == "portable":
        portable = Portable()
        for name in ("now", "now_us", "divide", "next_jobid", "is_unavailable", "is_passing"):
            setattr(portable, name, getattr(own, name))
        if database == "postgresql":  # its cursors tell no lastrowid
            portable.insert = own.insert
        monkeypatch.setitem(dialects.DIALECTS, connections[database].vendor, portable)
    return dialects.dialect_of(connections[database])


@pytest.fixture(autouse=True)
def _forget_workers(schwartz_workers):
    """Workers that a test registers are gone after it."""


@pytest.fixture(autouse=True)
def _forget_deaths(monkeypatch):
    """Databases that a test finds dead are alive after it."""
    monkeypatch.setattr(known_deaths, "_deaths", {})


@pytest.fixture(autouse=True)
def _own_options(monkeypatch):
    """Deadlines that a worker in this process gives its connections end with the test."""
    for settings in connections.settings.values():
        monkeypatch.setitem(settings, "OPTIONS", {**settings.get("OPTIONS", {})})


@pytest.fixture
def patient(monkeypatch):
    """However slow this machine is, no dispatch looks for idle workers again."""
    monkeypatch.setattr(announcing, "PATIENCE_SECONDS", 60)


@pytest.fixture
def client(database):
    """A client of the queue; not Django's test client, which is `http`."""
    return TheSchwartz()


@pytest.fixture
def http():
    """Django's test client."""
    from django.test import Client

    return Client()


@pytest.fixture
def in_test_case(database):
    """Run a function inside a TestCase of Django's, and give what it returns."""

    def run(test):
        given = []

        class Case(TestCase):
            def test_it(self):
                given.append(test())

        run_case(Case, database)
        return given.pop()

    return run


@pytest.fixture
def manage(database):
    """Start `manage.py` with these arguments in a process of its own, on the same database.

    `prefix` is a command that becomes the one after it; `program` is what Python runs. What they
    print, and the test did not read, is told beside a failure of the test.
    """
    started = []

    def start(*arguments, prefix=(), program=("-m", "django"), **environment):
        process = subprocess.Popen(
            [*prefix, sys.executable, *program, *map(str, arguments)],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "DJANGO_SCHWARTZ_TEST_DATABASE": database,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        print(process.communicate()[0])
