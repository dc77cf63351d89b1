"""The job of pgqueuer, and what `pgq run` asks for a worker."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from pgqueuer import PgQueuer
from pgqueuer.db import PsycopgDriver
from pgqueuer.models import Job

from benchmarks.ledger import mark


@asynccontextmanager
async def make() -> AsyncIterator[PgQueuer]:
    connection = await psycopg.AsyncConnection.connect(autocommit=True)
    queue = PgQueuer(PsycopgDriver(connection))

    @queue.entrypoint("note")
    async def note(job: Job) -> None:
        mark(int(job.payload or b""))

    if os.environ["SCHWARTZ_BENCH_VARIANT"] == "best":
        logging.getLogger("pgqueuer").setLevel(logging.WARNING)
    yield queue
