"""What became of an attempt, and the one transaction that records it."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction

from django_schwartz.conf import conf
from django_schwartz.deadline import within
from django_schwartz.dialects import dialect_of
from django_schwartz.exceptions import DuplicateJob, LeaseLost
from django_schwartz.models.arg import is_arg_changed
from django_schwartz.models.history import Error, ExitStatus, Failure
from django_schwartz.models.rows import checked_arg
from django_schwartz.wakeup import announce_release

if TYPE_CHECKING:
    from django_schwartz.models.job import Job

#: Seconds between attempts to record an outcome while the database is away: half a minute in all.
PAUSES = (0, 0.1, 0.3, *[1] * 30)


class Verdict(StrEnum):
    """What is said of an attempt, as the log says it."""

    COMPLETED = "completed"
    REPLACED = "replaced"
    FAILED = "failed for good"
    RETRY = "failed, to be retried"
    DECLINED = "declined"
    GIVEN_BACK = "given back"
    CRASHED = "died of it"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """With an exit status the job leaves the queue; without one it is free from `run_after` on.

    `run_after` None leaves it as it is. `keep_for` is the seconds that the exit status is kept, 0
    for not at all. With `retries` it is to be decided yet: the job leaves only after more failures.
    """

    verdict: Verdict
    exit_status: int | None = None
    keep_for: int = 0
    run_after: Any = None
    retries: int | None = None
    failure: Failure | None = None
    children: "Sequence[Job]" = ()
    is_minimal: bool = False

    @property
    def message(self) -> str:
        return self.failure.message if self.failure else ""

    @property
    def is_crash(self) -> bool:
        return self.verdict is Verdict.CRASHED

    @cached_property
    def is_departure(self) -> bool:
        """Whether the job leaves the queue, and that is all."""
        return self.exit_status is not None and self.retries is None and not self.children

    def without_details(self, why: Exception) -> "Outcome":
        """The same outcome without what the job was, and what its worker left in it."""
        return replace(self, is_minimal=True)

    def without_text(self, why: Exception) -> "Outcome":
        """The same outcome without the words of the failure."""
        return replace(self, failure=self.failure and self.failure.without_text(why))


#: What is left out, one after the other, of an outcome that the database refuses.
REDUCTIONS = (Outcome.without_details, Outcome.without_text)

T = TypeVar("T")


#: A job, and what became of the attempt at it.
Settlement = tuple["Job", Outcome]


def settle_together(using: str, settlements: Sequence[Settlement]) -> set[int]:
    """Record departures of jobs of one database together; tell which jobs were held, and left.

    One transaction; one statement, where the database can and no failure is told of.
    """
    failures = [(job, outcome.failure) for job, outcome in settlements if outcome.failure]
    with transaction.atomic(using=using) if failures else nullcontext():
        gone = _leave(using, settlements)
        Error.objects.using(using).record_all(entry for entry in failures if entry[0].jobid in gone)
    return gone


def _leave(using: str, settlements: Sequence[Settlement]) -> set[int]:
    queue = type(settlements[0][0])._default_manager.using(using)
    dialect = dialect_of(connections[using])
    return dialect.leave(queue, ExitStatus.objects.using(using), settlements)


def settle(
    job: "Job", outcome: Outcome, *, deadline_seconds: float | None = None
) -> Outcome | None:
    """Record the outcome and return it as it was decided; None if the job is not held any more.

    While the database is away it is tried again for a while, outside a transaction; for so many
    seconds at the most, after which one that hangs is hung up on. An outcome that
    the database refuses is recorded without its details, or at last without its failure's text; one
    with children raises instead. One transaction.
    """
    for reduced in REDUCTIONS:
        try:
            return patiently(job, partial(_record, job, outcome), deadline_seconds)
        except Exception as error:
            if outcome.children or _is_away(job, error):
                raise
            outcome = reduced(outcome, error)
    return patiently(job, partial(_record, job, outcome), deadline_seconds)


def patiently(job: "Job", attempt: Callable[[], T], deadline_seconds: float | None = None) -> T:
    """What the attempt gives; while the job's database is away, it is made again for a while.

    Inside a transaction it is made once.
    """
    if job.driver.in_atomic_block:
        return attempt()
    ends_at = math.inf if deadline_seconds is None else time.monotonic() + deadline_seconds
    for pause in PAUSES:
        try:
            with within(deadline_seconds, job.driver):
                return attempt()
        except AnyDatabaseError as error:
            if not _is_away(job, error) or time.monotonic() + pause > ends_at:
                raise
        job.driver.close()
        time.sleep(pause)
    return attempt()


def _is_away(job: "Job", error: Exception) -> bool:
    dialect = dialect_of(job.driver)
    return isinstance(error, AnyDatabaseError) and (
        dialect.is_passing(error) or dialect.is_unavailable(job.driver, error)
    )


def _record(job: "Job", undecided: Outcome) -> Outcome | None:
    using, outcome = job.alias, _decided(job, undecided)
    try:
        with transaction.atomic(using=using):
            if outcome.exit_status is None:
                _release(job, outcome)
            else:
                _leave_queue(job, outcome)
            if outcome.failure:
                Error.objects.using(using).record(job, outcome.failure)
            if outcome.children:
                _dispatch_children(job, outcome.children)
    except LeaseLost:
        return None
    return outcome


def _decided(job: "Job", outcome: Outcome) -> Outcome:
    """The outcome as it is with this many failures: a retry, or the end."""
    if outcome.retries is None:
        return outcome
    failures = job.recorded_failures + 1
    if failures > outcome.retries:
        return replace(outcome, verdict=Verdict.FAILED, retries=None)
    return replace(
        outcome,
        verdict=Verdict.RETRY,
        retries=None,
        exit_status=None,
        run_after=job.crash_time(failures) if outcome.is_crash else job.retry_time(failures),
    )


def _leave_queue(job: "Job", outcome: Outcome) -> None:
    if not job.as_read()._raw_delete(job.alias):
        raise LeaseLost
    ExitStatus.objects.using(job.alias).record(job, outcome)


def _release(job: "Job", outcome: Outcome) -> None:
    values: dict[str, Any] = {"grabbed_until": 0}
    if outcome.run_after is not None:
        values["run_after"] = outcome.run_after
    if not outcome.is_minimal:
        values |= _what_the_worker_left(job)
    if not job.as_read().update(**values):
        raise LeaseLost
    announce_release(job.driver)


def _what_the_worker_left(job: "Job") -> dict[str, Any]:
    """What a retry finds as this attempt left it: how far it came, for one."""
    left = {"priority": job.priority, "coalesce": job.coalesce, "started_at": job.started_at}
    return {**left, "arg": checked_arg(job, conf().max_arg_bytes)} if is_arg_changed(job) else left


def _dispatch_children(job: "Job", children: "Sequence[Job]") -> None:
    type(job)._default_manager.using(job.alias).dispatch(children)
    for child in children:
        if child.is_duplicate:
            raise DuplicateJob(
                f"{child.funcname} with uniqkey {child.uniqkey!r} is queued as {child.handle}."
            )
