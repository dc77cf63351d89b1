"""Several queue databases: how they add up, on one server and on servers of their own.

The servers are the measure's own, with what PostgreSQL is installed with, on a disk.
"""

import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.bench import Bench, Result
from benchmarks.peers.peer import Peer
from benchmarks.processes import cpu_seconds_of
from tests import pgbouncer, postgres
from tests.distribution.programs import Programs

MOST = 3
#: Processes that dispatch, and that perform.
DISPATCHERS = 4
PERFORMERS = 2
#: Of a backlog, as many batches of dispatch_jobs as spread evenly.
JOBS = 40_000
#: A disk, not memory: what a commit waits for is measured too.
DISK = "/var/tmp"
TABLES = "django_schwartz_job, django_schwartz_error, django_schwartz_exitstatus"


class Servers:
    """Running servers, each with the databases queue1, queue2 and so on."""

    def __init__(self, programs: Programs, binaries: Path) -> None:
        self._programs, self._binaries = programs, binaries
        self._running: list[tuple[int, Any]] = []

    def start(self) -> None:
        data = self._programs.folder / f"data{len(self._running)}"
        port = pgbouncer.free_port()
        initdb = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        self._programs.run(self._binaries / "initdb", *initdb, "-D", data)
        command = [self._binaries / "postgres", "-D", data, "-k", self._programs.folder]
        server = self._programs.start(*command, "-p", port, ending=signal.SIGQUIT)
        if not postgres.is_ready(server, data / "postmaster.pid"):
            raise RuntimeError(self._programs.log.read_text())
        self._running.append((port, server))
        with self._connect(len(self._running) - 1, "postgres") as connection:
            for number in range(MOST):
                connection.execute(f"CREATE DATABASE queue{number}")

    def place(self, server: int, database: int) -> dict[str, Any]:
        """What DATABASES says of a database of that server."""
        port, _ = self._running[server]
        name = f"queue{database}"
        return {"HOST": str(self._programs.folder), "PORT": port, "USER": "postgres", "NAME": name}

    def empty(self, server: int, database: int) -> None:
        with self._connect(server, f"queue{database}") as connection:
            connection.execute(f"TRUNCATE {TABLES}")

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds_of(server.pid) for _, server in self._running)

    def _connect(self, server: int, name: str) -> psycopg.Connection[Any]:
        port, _ = self._running[server]
        at = {"host": str(self._programs.folder), "port": port, "user": "postgres"}
        return psycopg.connect(**at, dbname=name, autocommit=True)


@contextmanager
def servers() -> Iterator[Servers]:
    binaries = next(postgres.debian())
    with tempfile.TemporaryDirectory(prefix="schwartz_bench_", dir=DISK) as name:
        programs = Programs(Path(name), "postgres")
        try:
            made = Servers(programs, binaries)
            for _ in range(MOST):
                made.start()
            yield made
        finally:
            programs.end()


def databases(bench: Bench, peer: Peer) -> Iterator[Result]:
    """Dispatch to, and work off, one queue database, two and three."""
    with servers() as made:
        cases = {
            "one server": [(0, number) for number in range(MOST)],
            "servers of their own": [(number, 0) for number in range(MOST)],
        }
        for used in cases.values():
            with bench.stage.queues_at([made.place(*one) for one in used]):
                bench.stage.do(peer, "reset")
        for repeat in range(bench.scale.repeats):
            for where, used in cases.items():
                for number in range(1, MOST + 1):
                    result = of_so_many(bench, peer, made, used[:number])
                    yield {"repeat": repeat, "where": where, "databases": number, **result}


def of_so_many(bench: Bench, peer: Peer, made: Servers, used: Sequence[tuple[int, int]]) -> Result:
    for one in used:
        made.empty(*one)
    with bench.stage.queues_at([made.place(*one) for one in used]):
        before = made.cpu_seconds()
        dispatched, rate = dispatch(bench, peer)
        dispatch_cpu = (made.cpu_seconds() - before) / dispatched
        for one in used:
            made.empty(*one)
        jobs = min(JOBS, bench.scale.most_jobs)
        bench.stage.fill(peer, 0, jobs)
        before = made.cpu_seconds()
        drain = bench.perform(peer, "best", PERFORMERS, due=jobs)
        drain_cpu = (made.cpu_seconds() - before) / jobs
    return {
        "dispatch_rate": rate,
        "server_ms_per_dispatch": 1000 * dispatch_cpu,
        "drain_rate": drain["rate"],
        "server_ms_per_drain": 1000 * drain_cpu,
        **{key: drain[key] for key in ("wrong", "unfinished") if key in drain},
    }


def dispatch(bench: Bench, peer: Peer) -> tuple[int, float]:
    """Dispatch one at a time from several processes; how many, and how many a second."""
    most = bench.scale.most_jobs
    options = {"count": most, "warm_up": 20, "seconds": bench.scale.seconds}

    def one(number: int) -> dict[str, Any]:
        return bench.stage.do(peer, "enqueue", first=number * most, **options)

    with ThreadPoolExecutor(DISPATCHERS) as pool:
        done = list(pool.map(one, range(DISPATCHERS)))
    return (
        sum(entry["count"] + options["warm_up"] for entry in done),
        sum(entry["count"] / entry["seconds"] for entry in done),
    )
