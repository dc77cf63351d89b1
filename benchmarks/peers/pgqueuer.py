"""pgqueuer."""

import subprocess
from collections.abc import Sequence

from benchmarks.peers.peer import PSYCOPG, Peer


class PgQueuer(Peer):
    name = "pgqueuer"
    #: Its command falls over the levels of its log with newer versions of typer.
    requirements = ("pgqueuer[psycopg]==1.6.0", "typer==0.20.0", PSYCOPG)
    left_sql = "SELECT count(*) FROM pgqueuer"

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        best = ["--batch-size=100"]
        command = [self.bin("pgq"), "run", *(best if variant == "best" else [])]
        return [[*command, "benchmarks.jobs.pgqueuer:make"]] * processes

    def open(self) -> None:
        import psycopg
        from pgqueuer.db import SyncPsycopgDriver
        from pgqueuer.queries import SyncQueries

        self.queries = SyncQueries(SyncPsycopgDriver(psycopg.connect(autocommit=True)))

    def reset(self) -> None:
        subprocess.run([self.bin("pgq"), "install"], check=True, stdout=subprocess.DEVNULL)

    def enqueue(self, number: int) -> None:
        self.queries.enqueue("note", str(number).encode())

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        from datetime import timedelta

        count = len(numbers)
        self.queries.enqueue(
            ["note"] * count,
            [str(number).encode() for number in numbers],
            [9 if urgent else 0] * count,
            [timedelta(seconds=delay)] * count if delay else None,
        )
