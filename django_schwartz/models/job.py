"""Job: a piece of work in the queue, with its verbs."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Protocol, Self

from asgiref.sync import sync_to_async
from django.db import transaction

from django_schwartz import signals
from django_schwartz.conf import conf
from django_schwartz.dialects import ServerTimeIn
from django_schwartz.models.given import checked_status, failing_status, later_moment
from django_schwartz.models.handle import JobHandle
from django_schwartz.models.history import Error, ExitStatus, Failure
from django_schwartz.models.outcome import Outcome, Verdict, settle
from django_schwartz.models.rows import MICROSECONDS
from django_schwartz.models.stored import StoredJob
from django_schwartz.transactions import CERTAIN, Certain, Tentative
from django_schwartz.worker import Worker, make_current, registry

logger = logging.getLogger("django_schwartz")


class Holder(Protocol):
    """Records the verdicts of the jobs that it holds, together and a little later."""

    def record(self, job: "Job", outcome: Outcome) -> bool:
        """Take the outcome, to be recorded soon; False if it must be recorded at once instead."""

    def stop_renewing(self, jobs: "Iterable[Job]") -> None:
        """Leave the leases of these jobs as they are, since their holder writes to their rows."""

    def finish_recording(self, job: "Job") -> None:
        """Return when the job's verdict, if there is one, is in the database."""


class OfThisProcess:
    """What copies of a job share with it, and a pickle leaves out."""

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


class Job(StoredJob):
    """A job posted to the queue, grabbed and performed by a worker.

    Beside its columns it takes `funcname` and `funcid`. Times are aware datetimes; given ones may
    be UNIX seconds as well, and `run_after` a timedelta from the server's now.
    """

    #: What completed() was told that the work gave: a value that JSON can hold.
    result: Any = None
    #: Where debug() sends its messages.
    debug_to: Callable[[str, "Job"], object] | None = None

    #: Who holds the job for its worker and records its verdict, in a process of many jobs.
    holder: Holder | None = None
    #: What that process notes of it meanwhile.
    hold: Any = None

    #: When the reply of its grab came, by the monotonic clock; None of a job that a look has read.
    heard_at: float | None = None
    _begun: float | None = None
    _ended: float | None = None
    #: The verdict that was given last, though it may have been rolled back since.
    _said: Outcome | None = None
    _settled: Tentative | Certain | None = None
    _declined: Tentative | None = None
    #: Whether the job is not held any more, so that its worker has no more to say about it.
    is_lost = False
    #: Whether it was told to stop, and has failed, since it took longer than its grab_for.
    is_overdue = False

    # What is known of it

    @property
    def began_at(self) -> int | None:
        """When the first attempt began, in UNIX microseconds."""
        return MICROSECONDS.get_prep_value(self.started_at)

    @property
    def ended_at(self) -> int | None:
        """When the verdict came, in UNIX microseconds."""
        return MICROSECONDS.get_prep_value(self.completed_at)

    @property
    def result_as_json(self) -> str | None:
        """The result as its column has it. Raises TypeError or ValueError for what is no JSON."""
        return None if self.result is None else json.dumps(self.result)

    @property
    def exit_status(self) -> int | None:
        """See JobHandle.exit_status."""
        return self._handle.exit_status

    @property
    def failure_log(self) -> list[str]:
        """See JobHandle.failure_log."""
        return self._handle.failure_log

    @property
    def failures(self) -> int:
        """See JobHandle.failures."""
        return self._handle.failures

    @property
    def _handle(self) -> JobHandle:
        if self.handle is None:
            raise ValueError("The job was not dispatched yet.")
        self._finish_recording()
        return self.handle

    @property
    def recorded_failures(self) -> int:
        """The failures that are in the database."""
        return Error.objects.using(self.alias).of(self.jobid).count()

    @property
    def did_something(self) -> bool:
        """Whether the job was completed, failed or replaced since its read, and not rolled back."""
        return self._settled is not None and self._settled.holds

    @did_something.setter
    def did_something(self, value: bool) -> None:
        self._settled = Tentative(self.alias) if value else None

    @property
    def was_declined(self) -> bool:
        """Whether the job was handed back since its read, and that not rolled back."""
        return self._declined is not None and self._declined.holds

    @property
    def has_verdict(self) -> bool:
        """Whether there is nothing more to say about this attempt."""
        return self.did_something or self.was_declined or self.is_lost

    @property
    def runtime(self) -> float | None:
        """Seconds from when its worker began with it until its verdict, or now."""
        return None if self._begun is None else (self._ended or time.monotonic()) - self._begun

    @property
    def completed_at(self) -> datetime | None:
        """When the last verdict came, as the server's clock at the grab and ours since tell it."""
        if self.grabbed_at is None or self.heard_at is None or self._ended is None:
            return None
        return self.grabbed_at + timedelta(seconds=self._ended - self.heard_at)

    @property
    def was_grabbed(self) -> bool:
        """Whether it was read by a grab, and not by a look."""
        return self.heard_at is not None

    def begin(self) -> None:
        """Note that the worker begins now."""
        self._begun = time.monotonic()
        if self.started_at is None:
            self.started_at = self.grabbed_at

    def debug(self, message: str) -> None:
        """Send a message to the job's client as debug output."""
        if self.debug_to:
            self.debug_to(message, self)
        else:
            logger.debug("%s: %s", signals.printable(self), signals.printable(message))

    def set_as_current(self) -> None:
        """Make this the job that its worker performs: an exception now fails this one."""
        make_current(self)

    # Verdicts. Each is one transaction, and only the holder's counts: they return False, and do
    # nothing, when the job has its verdict already or is known not to be held any more. One that
    # a Holder takes and that is refused later is told of by lease_lost.

    def completed(self, result: object = None) -> bool:
        """Record that the job was performed: it leaves the queue with exit status 0.

        The exit status keeps the result, a value that JSON can hold.
        """
        # Not by _policy(): to call with a list of arguments takes as long as all of this.
        keep_for = self._worker.policy("keep_exit_status_for")
        return self._finish(_completion(keep_for), result=result)

    def replace_with(self, *jobs: "Job") -> bool:
        """Put these jobs into the queue in the place of this one, which is completed.

        Raises what a dispatch raises, and DuplicateJob; the queue is then as it was.
        """
        for job in jobs:
            if not isinstance(job, Job):
                raise TypeError(f"replace_with takes Jobs, not {type(job).__name__}.")
        return self._finish(self._ending(Verdict.REPLACED, 0, children=jobs))

    def failed(self, message: object = "", exit_status: int | None = None) -> bool:
        """Record a failure: the job is retried, or leaves with that exit status or 1.

        The message may be an exception, whose traceback is then kept.
        """
        return self._finish(
            self._ending(
                Verdict.FAILED,
                failing_status(exit_status),
                failure=Failure.of(message),
                retries=int(self._policy("max_retries", self)),
            )
        )

    def repeat_failure(self) -> bool:
        """Record again the failure that a rollback undid; False if there was none."""
        return self.has_failed and self._said is not None and self._finish(self._said)

    @property
    def has_failed(self) -> bool:
        """Whether the last verdict was a failure."""
        return self._said is not None and self._said.failure is not None

    async def acompleted(self, result: object = None) -> bool:
        """completed() for coroutines."""
        return await sync_to_async(self.completed)(result)

    async def areplace_with(self, *jobs: "Job") -> bool:
        """replace_with() for coroutines."""
        return await sync_to_async(self.replace_with)(*jobs)

    async def afailed(self, message: object = "", exit_status: int | None = None) -> bool:
        """failed() for coroutines."""
        return await sync_to_async(self.failed)(message, exit_status)

    async def apermanent_failure(
        self, message: object = "", exit_status: int | None = None
    ) -> bool:
        """permanent_failure() for coroutines."""
        return await sync_to_async(self.permanent_failure)(message, exit_status)

    async def adeclined(self, run_after: "datetime | timedelta | int | None" = None) -> bool:
        """declined() for coroutines."""
        return await sync_to_async(self.declined)(run_after)

    def crashed(self, message: str) -> bool:
        """Record, as its holder, that the process which performed the job died.

        A failure, but for `max_crashes` of them the job comes back, whatever max_retries is.
        """
        return self._finish(
            self._ending(
                Verdict.CRASHED, 1, failure=Failure.of(message), retries=self.crash_retries
            )
        )

    @property
    def crash_retries(self) -> int:
        """Failures after which a job whose process died comes back again."""
        return int(max(self._policy("max_retries", self), self._policy("max_crashes", self)))

    def retry_time(self, failures: int) -> Any:
        """When the job is retried after so many failures, as an update writes it; None is now."""
        delay = self._policy("retry_delay", failures)
        return ServerTimeIn(delay) if delay else None

    def crash_time(self, failures: int) -> Any:
        """The same after a crash: at once the first time, then later and later."""
        if failures == 1:
            return None
        delay = max(self._policy("retry_delay", failures), min(2 ** (failures - 2), 60))
        return ServerTimeIn(delay)

    def permanent_failure(self, message: object = "", exit_status: int | None = None) -> bool:
        """Record a failure without a retry: the job leaves with that exit status, or 1."""
        status = failing_status(exit_status)
        return self._finish(self._ending(Verdict.FAILED, status, failure=Failure.of(message)))

    def declined(self, run_after: "datetime | timedelta | int | None" = None) -> bool:
        """Hand the job back without a failure, to be grabbed from `run_after` on.

        That is in a second at the soonest, even if the time has passed; without a time it is when
        the lease ends. No verdict: the job may still be failed.
        """
        outcome = Outcome(verdict=Verdict.DECLINED, run_after=later_moment(run_after))
        if self._is_too_late_for(outcome):
            return False
        self._declined = Tentative(self.alias)
        if outcome.run_after is None:
            # So that the end of the lease is no crash.
            is_held = bool(self.as_read().update(grabbed_by=None))
            if not is_held:
                self.become_lost()
            return is_held
        return self.record(outcome)

    def give_back(self) -> bool:
        """Release a job that its worker did not begin, for anybody to grab at once."""
        outcome = Outcome(verdict=Verdict.GIVEN_BACK)
        if self._is_too_late_for(outcome):
            return False
        self._declined = Tentative(self.alias)
        return self.record(outcome)

    def add_failure(self, message: object = "") -> Error | None:
        """Record an error, which counts as a failure, and nothing else; None if the lease is lost.

        One transaction.
        """
        self._finish_recording()
        with transaction.atomic(using=self.alias):
            if self._may_still_speak():
                return Error.objects.using(self.alias).record(self, Failure.of(message))
        return None

    def set_exit_status(self, status: int) -> ExitStatus | None:
        """Record the exit status for as long as the worker keeps them.

        None if it keeps none, or if the lease is lost. One transaction.
        """
        ending = self._ending(Verdict.COMPLETED, checked_status(status))
        self._finish_recording()
        with transaction.atomic(using=self.alias):
            if self._may_still_speak():
                return ExitStatus.objects.using(self.alias).record(self, ending)
        return None

    def _may_still_speak(self) -> bool:
        """Whether the job is held, and then locked; or its holder's verdict was recorded."""
        if self.did_something:
            return True
        if not self.is_lost and not self.as_read().select_for_update().values_list("pk"):
            self.become_lost()
        return not self.is_lost

    def _finish_recording(self) -> None:
        # Not in a transaction: on SQLite the holder could not write while that is open.
        if self.holder:
            self.holder.finish_recording(self)

    def _ending(self, verdict: Verdict, status: int, **details: Any) -> Outcome:
        keep_for = int(self._policy("keep_exit_status_for"))
        return Outcome(verdict=verdict, exit_status=status, keep_for=keep_for, **details)

    def _policy(self, name: str, *args: object) -> float:
        return self._worker.policy(name, *args)

    @property
    def _worker(self) -> type[Worker]:
        return self.worker or registry.get(self.funcname)

    def _finish(self, outcome: Outcome, *, result: object = None) -> bool:
        if self.is_lost or self._is_too_late_for(outcome):
            return False
        self._ended, self._said, self.result = time.monotonic(), outcome, result
        if self.holder and self.holder.record(self, outcome):
            self._settled = CERTAIN
            return True
        self.did_something = recorded = self.record(outcome)
        return recorded

    def _is_too_late_for(self, outcome: Outcome) -> bool:
        is_too_late = self.did_something
        if is_too_late:
            self.debug(f"has its verdict already, so this one is ignored: {outcome.verdict}")
        return is_too_late

    def become_lost(self) -> None:
        """Note that the job is not held any more, with no outcome recorded."""
        self.is_lost = True
        signals.lease_lost.send_robust(type(self), job=self)

    def record(self, outcome: Outcome) -> bool:
        """Write the outcome now; whether the job was still held. For verdicts, see above."""
        if self.is_lost:
            return False
        if self.holder:
            self.holder.stop_renewing([self])
        # Whoever waits for it keeps a thread from the jobs of other databases.
        deadline = conf().deadline_seconds if len(conf().databases) > 1 else None
        decided = settle(self, outcome, deadline_seconds=deadline)
        if decided is None:
            self.become_lost()
            return False
        self.become_recorded(decided, is_final=not self.driver.in_atomic_block)
        return True

    def become_recorded(self, outcome: Outcome, *, is_final: bool = True) -> None:
        """Note that the outcome is in the database, and tell of it as soon as it stays there."""
        if outcome.exit_status is None:
            self.become_released()
        tell = partial(signals.tell_finished, [(self, outcome, self.runtime)])
        if is_final:
            tell()
        else:
            transaction.on_commit(tell, using=self.alias)


@lru_cache
def _completion(keep_for: float) -> Outcome:
    """What most jobs come to, made once."""
    return Outcome(verdict=Verdict.COMPLETED, exit_status=0, keep_for=int(keep_for))
