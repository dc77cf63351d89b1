"""The stage: databases that come and go, the environment of the peers, and what is done in it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import ledger, relay
from benchmarks.peers.peer import Peer
from benchmarks.places import LOGS, ROOT
from benchmarks.processes import Crew, tail
from benchmarks.redis import Redis
from tests.postgres import Server

PREFIX = "schwartz_bench_"
#: Taken for the session: no two may use the same databases. Any number will do, if nobody else's.
LOCK = 7_363_877
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
SHOWN = ("server_version", *DURABLE, "shared_buffers", "max_wal_size", "autovacuum", "jit")
VERB_SECONDS = 3600
RELAY_SECONDS = 10


class Stage:
    """One PostgreSQL server, and perhaps one Redis, for one session."""

    def __init__(self, server: Server, redis: Redis | None) -> None:
        self.redis = redis
        #: What DATABASES says of the databases for the queue alone; none where it is in the first.
        self.queues: Sequence[dict[str, Any]] = ()
        self.admin = psycopg.connect(server.conninfo, dbname="postgres", autocommit=True)
        info = self.admin.info
        self.host, self.port, self.user = info.host, str(info.port), info.user
        self.password = info.password
        if not self.admin.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:
            sys.exit("Another session of the benchmarks uses this server.")
        # One name a server, so that what a killed session left is found.
        place = zlib.crc32(f"{self.host}:{self.port}".encode())
        self.folder = Path(memory_place(), f"{PREFIX}{place:x}")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        LOGS.mkdir(parents=True, exist_ok=True)
        self.drop_all()

    def close(self) -> None:
        """Drop every database and file of the session."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.drop_all()
        self.admin.close()

    # Databases

    def settings(self) -> dict[str, str]:
        return {name: self.admin.execute(f"SHOW {name}").fetchone()[0] for name in SHOWN}

    def fresh(self, peer: Peer, template: str = "empty") -> None:
        """Give the peer a database that is a copy of one of its templates."""
        if not peer.is_in_postgresql:
            self.redis("FLUSHDB")
            return
        self.drop(database_of(peer))
        self.copy(database_of(peer, template), database_of(peer))

    def copy(self, source: str, target: str) -> None:
        self.admin.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}" STRATEGY file_copy')

    def make_template(self, peer: Peer, name: str = "empty") -> None:
        """Make a template of the peer's tables as they are now, or of new ones for "empty"."""
        if not peer.is_in_postgresql:
            return
        if name == "empty":
            self.drop(database_of(peer))
            self.admin.execute(f'CREATE DATABASE "{database_of(peer)}"')
            self.do(peer, "reset")
        self.drop(database_of(peer, name))
        self.copy(database_of(peer), database_of(peer, name))

    def drop_template(self, peer: Peer, name: str) -> None:
        self.drop(database_of(peer, name))

    def drop(self, name: str) -> None:
        self.admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def drop_all(self) -> None:
        names = self.admin.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX]
        )
        for (name,) in names.fetchall():
            self.drop(name)

    def connect(self, peer: Peer) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database_of(peer),
            autocommit=True,
        )

    def left(self, peer: Peer) -> int:
        """Count the jobs that are not finished."""
        if not peer.is_in_postgresql:
            return self.redis.left()
        with self.connect(peer) as connection:
            return connection.execute(peer.left_sql).fetchone()[0]

    def analyze(self, peer: Peer) -> None:
        """Do what autovacuum would have done soon."""
        if peer.is_in_postgresql:
            with self.connect(peer) as connection:
                connection.execute("ANALYZE")

    def commits(self, peer: Peer) -> int:
        sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
        return self.admin.execute(sql, [database_of(peer)]).fetchone()[0]

    def wal_bytes(self) -> int:
        sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
        return self.admin.execute(sql).fetchone()[0]

    @contextmanager
    def queues_at(self, queues: Sequence[dict[str, Any]]) -> Iterator[None]:
        """Have the queue in these databases meanwhile."""
        self.queues = queues
        try:
            yield
        finally:
            self.queues = ()

    # What the peers do

    def env(
        self, peer: Peer, variant: str = "default", processes: int = 1, relayed: bool = False
    ) -> dict[str, str]:
        """Return the environment of a peer's processes, with libpq's variables for its tables."""
        place = str(self.folder) if relayed else self.host
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
            "PYTHONPATH": str(ROOT),
            "PGHOST": place,
            "PGPORT": "5432" if relayed else self.port,
            "PGUSER": self.user,
            "PGDATABASE": database_of(peer),
            **({"PGPASSWORD": self.password} if self.password else {}),
            "SCHWARTZ_BENCH_PEER": peer.name,
            "SCHWARTZ_BENCH_VARIANT": variant,
            "SCHWARTZ_BENCH_PROCESSES": str(processes),
            "SCHWARTZ_BENCH_QUEUES": json.dumps(self.queues),
            "SCHWARTZ_BENCH_REDIS": self.redis.url if self.redis else "",
            ledger.VARIABLE: str(self.ledger_path),
            **peer.environment(variant),
        }

    def do(self, peer: Peer, verb: str, *, relayed: bool = False, **options: Any) -> Any:
        """Have the peer do a verb in its environment; return the answer."""
        done = subprocess.run(
            peer.inside(verb, options),
            env=self.env(peer, relayed=relayed),
            capture_output=True,
            text=True,
            timeout=VERB_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{peer.name} {verb}: {done.stderr.strip()[-600:]}")
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def doing(self, peer: Peer, verb: str, **options: Any) -> Iterator[Crew]:
        """Have the peer do a verb meanwhile."""
        log = LOGS / f"{peer.name}-{verb}.log"
        with Crew([peer.inside(verb, options)], self.env(peer), log) as crew:
            yield crew

    def fill(
        self, peer: Peer, first: int, count: int, *, delay: int = 0, urgent: bool = False
    ) -> None:
        """Put jobs into the queue, as fast as the peer can."""
        how = {"delay": delay, "urgent": urgent} if peer.is_in_postgresql else {}
        verb = "bulk" if peer.is_in_postgresql else "enqueue"
        self.do(peer, verb, first=first, count=count, warm_up=count, seconds=0, **how)

    def work(self, peer: Peer, variant: str, processes: int = 1, *, relayed: bool = False) -> Crew:
        """Start a worker."""
        log = LOGS / f"{peer.name}-{variant}-{processes}.log"
        log.unlink(missing_ok=True)
        env = self.env(peer, variant, processes, relayed)
        return Crew(peer.worker(variant, processes), env, log)

    # What is looked at

    @property
    def ledger_path(self) -> Path:
        return self.folder / "ledger"

    def ledger(self, size: int) -> ledger.Ledger:
        """Make an empty ledger in the place of the last one."""
        return ledger.Ledger.make(self.ledger_path, size)

    @contextmanager
    def counting(self) -> Iterator[relay.Counts]:
        """Count what goes through the relay meanwhile."""
        (self.folder / "counts").unlink(missing_ok=True)
        socket = self.folder / relay.SOCKET
        socket.unlink(missing_ok=True)
        counts = relay.Counts(self.folder)
        local = f"{self.host}/.s.PGSQL.{self.port}"
        place = local if self.host.startswith("/") else f"{self.host}:{self.port}"
        command = [sys.executable, "-m", "benchmarks.relay", place, str(self.folder)]
        with Crew([command], dict(os.environ), LOGS / "relay.log") as crew:
            deadline = time.monotonic() + RELAY_SECONDS
            while not socket.exists():
                crew.check()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the relay does not start: {tail(crew.log)}")
                time.sleep(0.01)
            yield counts


def database_of(peer: Peer, template: str = "") -> str:
    return "_".join([PREFIX + peer.name.replace("-", "_"), *([template] if template else [])])


def memory_place() -> str:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
