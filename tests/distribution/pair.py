"""A primary and its synchronous standby, made as PostgreSQL's manual makes them."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from tests import pgbouncer, postgres
from tests.distribution.programs import kill
from tests.waiting import until

#: SIGKILL takes nothing that the kernel has been given.
OPTIONS = ("-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60")
SYNCHRONOUS = ("-c", "synchronous_standby_names=*")


@dataclass(frozen=True)
class ReadWrite:
    """Whichever of the servers on these ports takes writes."""

    ports: Sequence[int]

    @property
    def settings(self):
        """The entry of Django's DATABASES."""
        return postgres.Server(self._conninfo, "").settings

    @property
    def environment(self):
        """What leads the child processes of a test there."""
        return {
            "DJANGO_SCHWARTZ_TEST_POSTGRES": self._conninfo,
            "DJANGO_SCHWARTZ_TEST_NAME": "postgres",
            "DJANGO_SCHWARTZ_TEST_MYSQL": "none",
        }

    @property
    def _conninfo(self):
        hosts = ",".join("127.0.0.1" for _ in self.ports)
        ports = ",".join(map(str, self.ports))
        return (
            f"user=postgres dbname=postgres host={hosts} port={ports}"
            " target_session_attrs=read-write connect_timeout=2"
        )


def ask(port, sql):
    """The only value that the query gives of the server there; None where there is no row."""
    at = f"user=postgres host=127.0.0.1 port={port} dbname=postgres"
    with psycopg.connect(at, connect_timeout=2) as connection:
        row = connection.execute(sql).fetchone()
    return row and row[0]


class Pair:
    """The first of them is the primary, until the second is promoted."""

    def __init__(self, programs, binaries):
        self._programs, self._binaries = programs, binaries
        self.ports = [pgbouncer.free_port(), pgbouncer.free_port()]

    @property
    def place(self):
        return ReadWrite(self.ports)

    def make(self, options=SYNCHRONOUS):
        first, second = (self._programs.folder / name for name in ("first", "second"))
        self._run("initdb", *postgres.INITDB_OPTIONS, "-D", first)
        self._primary = self._serve(first, self.ports[0], *options)
        at = ("-h", "127.0.0.1", "-p", self.ports[0], "-U", "postgres")
        self._run("pg_basebackup", *at, "-D", second, "--write-recovery-conf", "--no-sync")
        self._standby = self._serve(second, self.ports[1])
        state = "sync" if options else "async"
        until(lambda: self.ask(0, "SELECT sync_state FROM pg_stat_replication") == state)

    def kill_primary(self):
        kill(self._primary.pid)

    def stop_standby(self):
        self._standby.send_signal(signal.SIGINT)
        self._standby.wait()

    def start_standby(self):
        self._standby = self._serve(self._programs.folder / "second", self.ports[1])

    def promote(self):
        self.ask(1, "SELECT pg_promote()")

    def ask(self, number, sql):
        """The only value that the query gives of that server; None where there is no row."""
        return ask(self.ports[number], sql)

    def _run(self, program, *arguments):
        self._programs.run(self._binaries / program, *arguments)

    def _serve(self, data, port, *options):
        command = [self._binaries / "postgres", *OPTIONS, *options, "-D", data, "-p", port]
        server = self._programs.start(*command, "-k", self._programs.folder, ending=signal.SIGQUIT)
        assert postgres.is_ready(server, data / "postmaster.pid"), self._programs.log.read_text()
        return server
