"""Workers that work in a test: on all that is due, or at each dispatch."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from django_schwartz.abilities import Ability
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job, JobHandle, JobQuerySet, Outcome
from django_schwartz.performance import Performance
from django_schwartz.signals import job_finished
from django_schwartz.testing.sandbox import sandboxes
from django_schwartz.worker import registry

#: Jobs performed in one go, before a test is told that its queue has no end.
LIMIT = 1000


@dataclass(frozen=True)
class Performed:
    """One attempt at a job, and what became of it."""

    job: Job
    outcome: Outcome

    @property
    def is_completed(self) -> bool:
        return self.outcome.exit_status == 0

    def __str__(self) -> str:
        failure = self.outcome.failure
        why = (failure.traceback or failure.message) if failure else ""
        return f"{self.job.funcname} {self.job.handle} {self.outcome.verdict}\n{why}".rstrip()


def work_until_done(*workers: Ability, using: str | None = None) -> list[Performed]:
    """Perform all due jobs of these workers, or of all registered ones, and tell how each went.

    Jobs that they dispatch, and retries without a delay, are performed too. Inside a transaction
    nothing is committed; the workers' own on_commit callbacks run. Raises AssertionError when
    there is no end to it.
    """
    client = _client_of(workers, using)
    with recorded() as performed, sandboxes():
        for _ in range(LIMIT):
            if not client.work_once():
                return performed
    raise AssertionError(f"{LIMIT} jobs were performed, and still some are due: {performed[-1]}")


def assert_completed(performed: Iterable[Performed]) -> None:
    """Assert that each of these attempts completed its job; the message has the tracebacks."""
    if others := [str(attempt) for attempt in performed if not attempt.is_completed]:
        raise AssertionError("\n".join(["Not all jobs were completed:", *others]))


@contextmanager
def inline() -> Iterator[list[Performed]]:
    """Perform, right after each dispatch in the block, all that is due; give what was performed.

    Jobs go through the database, args and all. What a worker dispatches is performed after it.
    """
    dispatch, performed = JobQuerySet.dispatch, list[Performed]()

    def dispatch_and_work(queue: JobQuerySet, jobs: Sequence[Job]) -> list[JobHandle]:
        handles = dispatch(queue, jobs)
        if Performance.current() is None:
            performed.extend(work_until_done(using=queue.db))
        return handles

    usual_way_only = patch("django_schwartz.client.dispatch_plain", return_value=None)
    with patch.object(JobQuerySet, "dispatch", dispatch_and_work), usual_way_only:
        yield performed


@contextmanager
def recorded() -> Iterator[list[Performed]]:
    """The outcomes that are recorded during the block."""
    performed: list[Performed] = []

    def record(*, job: Job, outcome: Outcome, **_: Any) -> None:
        performed.append(Performed(job, outcome))

    job_finished.connect(record)
    try:
        yield performed
    finally:
        job_finished.disconnect(record)


def _client_of(workers: Iterable[Ability], using: str | None) -> TheSchwartz:
    client = TheSchwartz([using] if using else None)
    for worker in list(workers) or list(registry):
        client.can_do(worker)
    return client
