"""Servers, wires and workers to break."""

import subprocess
import sys
import threading
from array import array
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.engine import SIZE, Engine, Ledger, Terms, set_deadlines
from django_schwartz.torture.hosts import library_of_wrong_clocks
from tests import postgres
from tests.conftest import ROOT
from tests.faults.wire import Wire


class Broken:
    """A PostgreSQL that can be ended, frozen and started again."""

    def __init__(self, keeper, folder):
        self.keeper, self.folder = keeper, folder

    def __getattr__(self, verb):
        return lambda *arguments: self._tell(verb, *arguments)

    def _tell(self, *words):
        self.keeper.stdin.write(" ".join(map(str, words)) + "\n")
        self.keeper.stdin.flush()
        assert self.keeper.stdout.readline() == "done\n"

    @property
    def settings(self):
        return {"NAME": "postgres", "USER": "postgres", "HOST": self.folder, "PORT": ""}


@contextmanager
def kept(*arguments, within=()):
    """A server of the keeper's, which is run within that command."""
    binaries = next(postgres.installations(), None)
    if binaries is None:
        pytest.skip("no PostgreSQL is installed, so that none can be broken")
    keeper = subprocess.Popen(
        [*within, sys.executable, "-m", "tests.faults.keeper", binaries, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    folder = keeper.stdout.readline().strip()
    assert folder
    yield Broken(keeper, folder)
    keeper.stdin.close()
    keeper.wait()
    keeper.stdout.close()


@pytest.fixture(scope="session")
def broken_server():
    """One for all tests, whose queue's tables are there."""
    with kept() as server:
        yield server


@pytest.fixture
def broken(broken_server, add_database, database):
    """That server, with an empty queue on its alias `broken`."""
    assert database == "postgresql"
    add_database("broken", **broken_server.settings)
    migrate("broken")
    with connections["broken"].cursor() as cursor:
        cursor.execute(
            "TRUNCATE django_schwartz_job, django_schwartz_exitstatus, django_schwartz_error"
            " CASCADE"
        )
    return broken_server


@pytest.fixture
def clocked(add_database, database):
    """A server whose clock can be set, with an empty queue on its alias `clocked`."""
    library = library_of_wrong_clocks()
    if library is None:
        pytest.skip("no libfaketime (apt-get install faketime)")
    with kept(library) as server:
        add_database("clocked", **server.settings)
        migrate("clocked")
        yield server
        connections["clocked"].close()


@pytest.fixture
def small(add_database, database):
    """A server whose disk can be filled, with an empty queue on its alias `small`."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no disk can be mounted: that takes root")
    with kept("", "100m", within=["unshare", "--mount"]) as server:
        add_database("small", **server.settings)
        migrate("small")
        yield server
        connections["small"].close()


def migrate(alias):
    call_command("migrate", "django_schwartz", database=alias, verbosity=0)
    call_command("migrate", "app", database=alias, verbosity=0, run_syncdb=True)


@pytest.fixture
def wire(database, own_server, add_database):
    """A wire to the server of the tests, whose alias is `wired`."""
    with Wire(*own_server) as wire:
        add_database("wired", HOST="127.0.0.1", PORT=wire.port)
        yield wire


@pytest.fixture
def own_server(database):
    """Where the server of the tests listens: a host and a port, or a socket."""
    connection = connections[database]
    connection.ensure_connection()
    if database == "postgresql":
        info = connection.connection.info
        return info.host, info.port
    settings = connection.settings_dict
    return settings["HOST"] or "127.0.0.1", int(settings["PORT"] or 3306)


@pytest.fixture
def working(any_thread_connects):
    """Have an engine work in a thread: `with working(alias, ability): ...`; or several aliases."""

    @contextmanager
    def work(where, *abilities, lease_seconds=5, retry_seconds=0.1, deadline_seconds=5):
        aliases = [where] if isinstance(where, str) else where
        set_deadlines(aliases, deadline_seconds=deadline_seconds)
        client = TheSchwartz(aliases, retry_seconds=retry_seconds)
        for ability in abilities:
            client.can_do(ability)
        terms = Terms(
            lease_seconds=lease_seconds,
            deadline_seconds=deadline_seconds,
            poll_seconds=0.1,
            threads=2,
        )
        engine = Engine(client, Ledger(array("q", [0] * SIZE), aliases), terms)
        thread = threading.Thread(target=_run, args=[engine])
        thread.start()
        try:
            yield thread
        finally:
            engine.stop()
            thread.join(30)
        assert not thread.is_alive()

    return work


@pytest.fixture
def performed():
    """The args of the jobs that were performed."""
    args = []

    @register
    class Mail(Worker):
        keep_exit_status_for = 1000

        def work(self, job):
            args.append(job.arg)
            job.completed()

    return args


def asking_first(first, *others):
    """A client that asks this database before the others."""
    client = TheSchwartz([first, *others], retry_seconds=0.1)
    client.databases._shuffle = lambda aliases: aliases.sort(key=lambda alias: alias != first)
    return client


def _run(engine):
    try:
        engine.run()
    finally:
        connections.close_all()
