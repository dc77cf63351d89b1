"""Faults planted into the package on purpose: a torture that does not find them proves nothing."""

from collections.abc import Callable, Iterable
from typing import Any

from django_schwartz import dialects
from django_schwartz.models import JobQuerySet
from django_schwartz.models import outcome as outcomes


def fence_off() -> None:
    """Accept every outcome, whoever holds the job."""

    def held(queue: JobQuerySet, jobs: Iterable[Any]) -> JobQuerySet:
        return queue.filter(pk__in=[job.jobid for job in jobs])

    portable: Any = dialects.Dialect
    JobQuerySet.held = held  # type: ignore[method-assign, assignment]
    for dialect in dialects.DIALECTS.values():
        type(dialect).leave = portable.leave  # type: ignore[method-assign]
        type(dialect)._delete = portable._delete  # type: ignore[method-assign]


def forget_crashed() -> None:
    """Take a job from the queue when its worker dies."""
    crash = outcomes.Outcome

    def decided(job: Any, outcome: Any) -> Any:
        return own(
            job, crash(verdict=outcome.verdict, exit_status=0) if outcome.is_crash else outcome
        )

    own: Callable[..., Any] = outcomes._decided
    outcomes._decided = decided


PLANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "fence-off": fence_off,
    "forget-crashed": forget_crashed,
}


def plant(name: str) -> None:
    PLANTS[name]()
