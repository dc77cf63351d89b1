"""The job of oban, which its worker finds by its path."""

from oban import worker
from oban.job import Job

from benchmarks.ledger import mark


@worker(queue="default", priority=1)
class Note:
    async def process(self, job: Job) -> None:
        mark(job.args["number"])
