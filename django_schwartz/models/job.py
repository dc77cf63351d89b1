"""Job: a piece of work in the queue, with its verbs, and the handle that outlives it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Greatest

from django_schwartz import signals
from django_schwartz.dialects import Inserted, ServerMicroseconds, ServerTimeIn
from django_schwartz.exceptions import InvalidHandle
from django_schwartz.fields import UnixMicrosecondField, UnixTimeField, unix_seconds
from django_schwartz.models.arg import ArgField
from django_schwartz.models.funcmap import FuncMap
from django_schwartz.models.history import Error, ErrorQuerySet, ExitStatus, Failure
from django_schwartz.models.meta import MetaField
from django_schwartz.models.outcome import Outcome, Verdict, patiently, record_exit_status, settle
from django_schwartz.models.queue import MICROSECONDS, SECONDS, JobQuerySet, Priority
from django_schwartz.transactions import Tentative
from django_schwartz.worker import FOREVER, current_job, registry

logger = logging.getLogger("django_schwartz")


class Job(models.Model):
    """A job posted to the queue, grabbed and performed by a worker.

    Beside its columns it takes `funcname` and `funcid`. Times are aware datetimes; given ones may
    be UNIX seconds as well, and `run_after` a timedelta from the server's now.
    """

    jobid = models.BigAutoField(primary_key=True)
    func = models.ForeignKey(
        FuncMap, models.PROTECT, db_column="funcid", db_index=False, related_name="+"
    )
    arg = ArgField(null=True)
    uniqkey = models.CharField(max_length=255, null=True)
    insert_time = UnixTimeField(null=True)
    run_after = UnixTimeField()
    grabbed_until = UnixTimeField(default=0, db_default=0)
    priority = models.SmallIntegerField(null=True)
    coalesce = models.CharField(max_length=255, null=True)

    #: Times that the job was grabbed; with grabbed_until, what tells one lease from another.
    grabs = models.IntegerField(default=0, db_default=0)
    grabbed_by = models.CharField(max_length=255, null=True)
    dispatched_at = UnixMicrosecondField(null=True)
    scheduled_for = UnixMicrosecondField(null=True)
    started_at = UnixMicrosecondField(null=True)
    queue_name = models.CharField(max_length=255, null=True)
    meta = MetaField(null=True)

    objects = JobQuerySet.as_manager()

    #: Whether this job was not stored, since one with its uniqkey is queued: the handle is that
    #: one's.
    is_duplicate = False
    #: The server's time of the grab, in UNIX microseconds.
    grabbed_at: int | None = None
    #: Where debug() sends its messages.
    debug_to: Callable[[str, "Job"], object] | None = None

    _funcname: str | None = None
    _begun: float | None = None
    _settled: Tentative | None = None
    _declined: Tentative | None = None
    #: The leases that ended with this holder's releases, each with whether that was rolled back.
    _released: tuple[tuple[int, Tentative], ...] = ()
    #: Whether the job is not held any more, so that its worker has no more to say about it.
    is_lost = False

    class Meta:
        permissions = [
            ("run_job", "Can have a job run now"),
            ("cancel_job", "Can cancel a job"),
            ("view_job_args", "Can view the args and results of jobs"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["func", "uniqkey"], name="schwartz_job_uniqkey")
        ]
        indexes = [
            models.Index(fields=["func", "run_after"], name="schwartz_job_run_after"),
            models.Index(fields=["func", "coalesce"], name="schwartz_job_coalesce"),
            models.Index(
                "func",
                Priority("priority").desc(),
                "run_after",
                "jobid",
                name="schwartz_job_grab",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.funcname} {self.handle or '(not dispatched)'}"

    @classmethod
    def new_from_array(cls, funcname: str, arg: object) -> Self:
        """A job of that function with that arg. As TheSchwartz::Job->new_from_array."""
        return cls(funcname=funcname, arg=arg)

    # What and where it is

    @property
    def alias(self) -> str:
        """The alias of the database that the job is stored in."""
        return self._state.db or JobQuerySet(Job).db

    @property
    def driver(self) -> BaseDatabaseWrapper:
        """The connection to the database that the job is stored in."""
        connection: BaseDatabaseWrapper = connections[self.alias]
        return connection

    @property
    def funcid(self) -> int:
        return self.func_id

    @funcid.setter
    def funcid(self, funcid: int) -> None:
        self.func_id, self._funcname = funcid, None

    @property
    def funcname(self) -> str:
        """The name of the function. Set it before the job is dispatched."""
        if self._funcname is None and self.func_id is not None:
            self._funcname = FuncMap.objects.name_of(self.func_id, using=self.alias)
        return self._funcname or ""

    @funcname.setter
    def funcname(self, funcname: str) -> None:
        self._funcname = funcname

    @property
    def handle(self) -> "JobHandle | None":
        """The handle of a job that is, or was, stored."""
        if self._state.db is None or self.jobid is None:
            return None
        return JobHandle(self._state.db, self.jobid, is_duplicate=self.is_duplicate)

    @handle.setter
    def handle(self, handle: "JobHandle") -> None:
        self._state.db, self.jobid = handle.alias, handle.jobid

    def as_read(self) -> JobQuerySet:
        """The job's row, as long as nobody grabbed, released or settled it since it was read."""
        rows = Job.objects.using(self.alias)
        return rows.filter(pk=self.pk, grabbed_until=self._lease, grabs=self.grabs)

    @property
    def _lease(self) -> int:
        """The row's grabbed_until as it was read, or as a release that stands left it."""
        undone = [lease for lease, release in self._released if not release.holds]
        return undone[0] if undone else unix_seconds(self.grabbed_until or 0)

    def _become_released(self) -> None:
        standing = [entry for entry in self._released if entry[1].holds]
        self._released = (*standing, (self._lease, Tentative(self.alias)))
        self.grabbed_until = None

    def as_grabbed(self, grabbed_by: str) -> "Job | None":
        """The job read again by its holder; None when it is gone again, or another's."""
        rows = type(self).objects.using(self.alias).filter(pk=self.pk, grabbed_by=grabbed_by)
        job = rows.first()
        if job is not None:
            job.grabbed_at = rows.values_list(ServerMicroseconds(), flat=True).first()
        return job

    def become_stored(self, row: Inserted, *, funcid: int, using: str) -> None:
        """Take what the database made of this job when it was inserted."""
        self.jobid, self.func_id, self.is_duplicate = row.jobid, funcid, False
        self.insert_time = SECONDS.to_python(row.insert_time)
        self.run_after = SECONDS.to_python(row.run_after)
        self.dispatched_at = MICROSECONDS.to_python(row.dispatched_at)
        self._state.db, self._state.adding = using, False
        signals.job_dispatched.send_robust(type(self), job=self)

    def become_duplicate_of(self, jobid: int, *, funcid: int, using: str) -> None:
        """Take the place of the queued job that has this job's uniqkey."""
        self.jobid, self.func_id, self.is_duplicate = jobid, funcid, True
        self._state.db, self._state.adding = using, False

    # What is known of it

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
    def _handle(self) -> "JobHandle":
        if self.handle is None:
            raise ValueError("The job was not dispatched yet.")
        return self.handle

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
        """Seconds since its worker began with it."""
        return None if self._begun is None else time.monotonic() - self._begun

    def begin(self) -> None:
        """Note that the worker begins now."""
        self._begun = time.monotonic()
        if self.started_at is None and self.grabbed_at is not None:
            self.started_at = MICROSECONDS.to_python(self.grabbed_at)

    def debug(self, message: str) -> None:
        """Send a message to the job's client as debug output."""
        if self.debug_to:
            self.debug_to(message, self)
        else:
            logger.debug("%s: %s", signals.printable(self), signals.printable(message))

    def set_as_current(self) -> None:
        """Make this the job that its worker performs: an exception now fails this one."""
        current_job.set(self)

    # Verdicts. Each is one transaction, and only the holder's counts: they return False, and do
    # nothing, when the job has its verdict already or is not held any more.

    def completed(self) -> bool:
        """Record that the job was performed: it leaves the queue with exit status 0."""
        return self._finish(self._ending(Verdict.COMPLETED, 0))

    def replace_with(self, *jobs: "Job") -> bool:
        """Put these jobs into the queue in the place of this one, which is completed.

        Raises what a dispatch raises, and DuplicateJob; the queue is then as it was.
        """
        return self._finish(self._ending(Verdict.REPLACED, 0, children=jobs))

    def failed(self, message: object = "", exit_status: int | None = None) -> bool:
        """Record a failure: the job is retried, or leaves with that exit status or 1.

        The message may be an exception, whose traceback is then kept.
        """
        status, failures = _failing(exit_status), patiently(self, lambda: self.failures) + 1
        if failures > self._policy("max_retries", self):
            return self.permanent_failure(message, status)
        delay = self._policy("retry_delay", failures)
        return self._finish(
            Outcome(
                verdict=Verdict.RETRY,
                failure=Failure.of(message),
                run_after=ServerTimeIn(delay) if delay else None,
            )
        )

    def permanent_failure(self, message: object = "", exit_status: int | None = None) -> bool:
        """Record a failure without a retry: the job leaves with that exit status, or 1."""
        status = _failing(exit_status)
        return self._finish(self._ending(Verdict.FAILED, status, failure=Failure.of(message)))

    def declined(self, run_after: "datetime | timedelta | int | None" = None) -> bool:
        """Hand the job back without a failure, to be grabbed from `run_after` on.

        That is in a second at the soonest, even if the time has passed; without a time it is when
        the lease ends. No verdict: the job may still be failed.
        """
        outcome = Outcome(verdict=Verdict.DECLINED, run_after=_later_moment(run_after))
        if self._is_too_late_for(outcome):
            return False
        self._declined = Tentative(self.alias)
        return outcome.run_after is None or self._record(outcome)

    def give_back(self) -> bool:
        """Release a job that its worker did not begin, for anybody to grab at once."""
        outcome = Outcome(verdict=Verdict.GIVEN_BACK)
        if self._is_too_late_for(outcome):
            return False
        self._declined = Tentative(self.alias)
        return self._record(outcome)

    def add_failure(self, message: object = "") -> Error | None:
        """Record an error, which counts as a failure, and nothing else; None if the lease is lost.

        One transaction.
        """
        with transaction.atomic(using=self.alias):
            if self._may_still_speak():
                return Error.objects.using(self.alias).record(self, Failure.of(message))
        return None

    def set_exit_status(self, status: int) -> ExitStatus | None:
        """Record the exit status for as long as the worker keeps them.

        None if it keeps none, or if the lease is lost. One transaction.
        """
        ending = self._ending(Verdict.COMPLETED, _checked_status(status))
        with transaction.atomic(using=self.alias):
            return record_exit_status(self, ending) if self._may_still_speak() else None

    def _may_still_speak(self) -> bool:
        """Whether the job is held, and then locked; or its holder's verdict was recorded."""
        if self.did_something:
            return True
        if not self.is_lost and not self.as_read().select_for_update().values_list("pk"):
            self._become_lost()
        return not self.is_lost

    def _ending(self, verdict: Verdict, status: int, **details: Any) -> Outcome:
        keep_for = int(self._policy("keep_exit_status_for"))
        return Outcome(verdict=verdict, exit_status=status, keep_for=keep_for, **details)

    def _policy(self, name: str, *args: object) -> float:
        return registry.get(self.funcname).policy(name, *args)

    def _finish(self, outcome: Outcome) -> bool:
        if self._is_too_late_for(outcome):
            return False
        recorded = self._record(outcome)
        self.did_something = recorded
        return recorded

    def _is_too_late_for(self, outcome: Outcome) -> bool:
        if self.did_something:
            self.debug(f"has its verdict already, so this one is ignored: {outcome.verdict}")
        return self.did_something

    def _become_lost(self) -> None:
        self.is_lost = True
        signals.lease_lost.send_robust(type(self), job=self)

    def _record(self, outcome: Outcome) -> bool:
        if self.is_lost:
            return False
        if not settle(self, outcome):
            self._become_lost()
            return False
        if outcome.exit_status is None:
            self._become_released()
        signals.job_finished.send_robust(
            type(self), job=self, outcome=outcome, runtime=self.runtime
        )
        return True


def _later_moment(value: "datetime | timedelta | int | None") -> Any:
    """The value as an update writes it to run_after, in a second at the soonest.

    None for None and 0, as in Perl. A worker that hands its job back at once would get it again at
    once, and nothing else would be done.
    """
    if value is None or value == 0:
        return None
    if isinstance(value, timedelta):
        return ServerTimeIn(min(max(value.total_seconds(), 1), FOREVER))
    moment = models.Value(unix_seconds(value), models.BigIntegerField())
    return Greatest(moment, ServerTimeIn(1))


def _failing(exit_status: int | None) -> int:
    return _checked_status(exit_status or 1)


def _checked_status(status: int) -> int:
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"An exit status is a whole number, not {status!r}.")
    if not -(2**31) <= status < 2**31:
        raise ValueError(f"An exit status must fit 32 bits, unlike {status}.")
    return status


@dataclass(frozen=True)
class JobHandle:
    """A job's database and number, to ask for it later. str() is "alias-jobid"."""

    alias: str
    jobid: int
    #: Whether the dispatch that gave this handle found the job queued already.
    is_duplicate: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.alias}-{self.jobid}"

    @classmethod
    def from_string(cls, text: str) -> Self:
        """The handle that str() made. Raises InvalidHandle, for an unknown database too."""
        alias, dash, jobid = text.rpartition("-")
        if not dash or not jobid.isdecimal() or not jobid.isascii():
            raise InvalidHandle(f'{text!r} is no job handle: they look like "default-42".')
        if alias not in connections:
            raise InvalidHandle(f"{text!r} is of no database here: DATABASES has no {alias!r}.")
        return cls(alias, int(jobid))

    @property
    def job(self) -> Job | None:
        """The job, or None when it has left the queue."""
        return Job.objects.using(self.alias).filter(pk=self.jobid).first()

    @property
    def is_pending(self) -> bool:
        """Whether the job is still in the queue."""
        return Job.objects.using(self.alias).filter(pk=self.jobid).exists()

    @property
    def exit_status(self) -> int | None:
        """The status with which the job left the queue; None while queued, and if not kept."""
        statuses = ExitStatus.objects.using(self.alias).filter(pk=self.jobid)
        return statuses.values_list("status", flat=True).first()

    @property
    def failure_log(self) -> list[str]:
        """The messages of the job's failures, oldest first."""
        return list(self._errors.values_list("message", flat=True))

    @property
    def failures(self) -> int:
        """How often a worker grabbed the job and failed to complete it."""
        return self._errors.count()

    @property
    def _errors(self) -> ErrorQuerySet:
        return Error.objects.using(self.alias).of(self.jobid)
