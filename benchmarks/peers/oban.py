"""oban, in Python."""

import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.peer import PSYCOPG, Peer


class Oban(Peer):
    """Its queues are limited by how many jobs they run at once: 10 in its documentation."""

    name = "oban"
    requirements = ("oban==0.7.0", PSYCOPG)
    left_sql = (
        "SELECT count(*) FROM oban_jobs WHERE state NOT IN ('completed', 'cancelled', 'discarded')"
    )

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        best = ["--queues=default:100", "--log-level=warning"]
        options = best if variant == "best" else ["--queues=default:10"]
        # Two of one name would be taken for one.
        return [
            [self.bin("oban"), "start", "--dsn=connect_timeout=10", f"--node=node{n}", *options]
            for n in range(processes)
        ]

    def open(self) -> None:
        import oban

        self.loop = asyncio.new_event_loop()
        self.pool = self.run(oban.Oban.create_pool("connect_timeout=10"))
        self.oban = oban.Oban(pool=self.pool)

    def run(self, doing: Any) -> Any:
        return self.loop.run_until_complete(doing)

    def reset(self) -> None:
        from oban.schema import install

        self.run(install(self.pool))

    def enqueue(self, number: int) -> None:
        from benchmarks.jobs.oban import Note

        self.run(self.oban.enqueue(Note.new({"number": number})))

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        from benchmarks.jobs.oban import Note

        options = {"schedule_in": delay} if delay else {}
        priority = 0 if urgent else 1
        jobs = [Note.new({"number": n}, priority=priority, **options) for n in numbers]
        self.run(self.oban.enqueue_many(jobs))
