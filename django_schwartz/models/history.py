"""Error and ExitStatus: what is left of attempts, and of jobs that have left the queue."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from django.db import connections, models

from django_schwartz.dialects import ServerTime
from django_schwartz.exceptions import traceback_of
from django_schwartz.fields import UnixMicrosecondField, UnixTimeField
from django_schwartz.models.arg import ArgField, arg_as_read
from django_schwartz.models.columns import NameField, SmallIndex
from django_schwartz.models.funcmap import FuncMap, OfFunction
from django_schwartz.models.meta import MetaField
from django_schwartz.perl_text import PerlTextField
from django_schwartz.serializers import storable_text

if TYPE_CHECKING:
    from django_schwartz.models.job import Job
    from django_schwartz.models.outcome import Outcome, Settlement

#: What the exit status keeps of a job.
KEPT_OF_A_JOB = (
    "uniqkey",
    "coalesce",
    "priority",
    "queue_name",
    "insert_time",
    "run_after",
    "dispatched_at",
    "scheduled_for",
    "grabbed_at",
    "started_at",
    "completed_at",
    "result",
    "meta",
)


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, as text that every database can store."""

    message: str
    exception: str | None = None
    traceback: str | None = None
    #: The exception itself, for those who are told of the failure.
    error: BaseException | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, message: object) -> "Failure":
        """The failure that a worker tells of, in words or by the exception itself."""
        if isinstance(message, BaseException):
            return cls.of_exception(message)
        return cls(storable_text(message))

    @classmethod
    def of_exception(cls, error: BaseException) -> "Failure":
        """The failure that an exception is, whatever it does when it is asked for its text."""
        kind = type(error)
        return cls(
            message=storable_text(f"{kind.__name__}: {storable_text(error)}"),
            exception=storable_text(f"{kind.__module__}.{kind.__qualname__}")[:255],
            traceback=storable_text(traceback_of(error)),
            error=error,
        )

    def without_text(self, why: BaseException) -> "Failure":
        """What is left when the database refuses the text itself."""
        reason = type(why.__cause__ or why).__name__
        return replace(
            self, message=f"The message could not be recorded ({reason}).", traceback=None
        )


class ErrorQuerySet(models.QuerySet["Error"]):
    def of(self, jobid: int) -> "ErrorQuerySet":
        """The errors of one job, in the order in which they came."""
        return self.filter(jobid=jobid).order_by("error_time", "pk")

    def recent(self, limit: int) -> "ErrorQuerySet":
        """About the latest `limit` of these errors: with those of the oldest one's second."""
        times = self.order_by("-error_time").values_list("error_time", flat=True)
        oldest = times[limit - 1 : limit].first()
        return self if oldest is None else self.filter(error_time__gte=oldest)

    def record(self, job: "Job", failure: Failure) -> "Error":
        """Store that an attempt at the job failed."""
        return self.record_all([(job, failure)])[0]

    def record_all(self, failures: "Iterable[tuple[Job, Failure]]") -> "list[Error]":
        """Store that attempts at these jobs failed, in one statement."""
        return self.bulk_create([_error_of(job, failure) for job, failure in failures])


def _error_of(job: "Job", failure: Failure) -> "Error":
    return Error(
        jobid=job.jobid,
        func_id=job.funcid,
        message=failure.message,
        error_time=ServerTime(),
        worker_id=job.grabbed_by and storable_text(job.grabbed_by)[:255],  # a worker may change it
        exception=failure.exception,
        traceback=failure.traceback,
    )


class Error(OfFunction, models.Model):
    """A failed attempt at a job. A job's failures are its rows here, in Perl as well."""

    jobid = models.BigIntegerField(db_index=True)
    func = models.ForeignKey(
        FuncMap,
        models.PROTECT,
        db_column="funcid",
        db_constraint=False,
        db_index=False,
        related_name="+",
        db_default=models.Value(0, models.IntegerField()),  # MySQL refuses 0 to an AutoField
    )
    message = PerlTextField()
    error_time = UnixTimeField(db_index=True)
    worker_id = models.CharField(max_length=255, null=True)
    exception = models.CharField(max_length=255, null=True)
    traceback = models.TextField(null=True)

    objects = ErrorQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["func", "error_time"], name="schwartz_error_by_func")]

    def __str__(self) -> str:
        return self.message.partition("\n")[0][:100]


class ExitStatusQuerySet(models.QuerySet["ExitStatus"]):
    @property
    def table(self) -> str:
        return str(connections[self.db].ops.quote_name(self.model._meta.db_table))

    def record(self, job: "Job", outcome: "Outcome") -> "ExitStatus | None":
        """Store the exit status of a job that leaves the queue; None if it is not kept."""
        rows = self.record_all([(job, outcome)])
        return rows[0] if rows else None

    def record_all(self, settlements: "Iterable[Settlement]") -> "list[ExitStatus]":
        """Store those that are kept, in one statement.

        One that was stored before for the same job is replaced.
        """
        rows = [_exit_status_of(*entry) for entry in settlements if entry[1].keep_for > 0]
        if not rows:
            return []
        names = [field.attname for field in self.model._meta.concrete_fields]
        has_target = connections[self.db].features.supports_update_conflicts_with_target
        return self.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["jobid"] if has_target else None,
            update_fields=[name for name in names if name != "jobid"],
        )


def _exit_status_of(job: "Job", outcome: "Outcome") -> "ExitStatus":
    """What is kept of the job, as a row to store."""
    row = ExitStatus(
        jobid=job.jobid,
        func_id=job.funcid,
        status=outcome.exit_status or 0,
        completion_time=ServerTime(),
        delete_after=ServerTime() + outcome.keep_for,
    )
    row._state.db = job.alias
    if not outcome.is_minimal:
        row.arg, row.worker_id, row.runtime = arg_as_read(job), job.grabbed_by, job.runtime
        for name in KEPT_OF_A_JOB:
            setattr(row, name, getattr(job, name))
    return row


class ExitStatus(OfFunction, models.Model):
    """How a job ended: 0 for completed, anything else for failed. Then what the job was."""

    jobid = models.BigIntegerField(primary_key=True)
    func = models.ForeignKey(
        FuncMap,
        models.PROTECT,
        db_column="funcid",
        db_constraint=False,
        db_index=False,
        related_name="+",
        db_default=models.Value(0, models.IntegerField()),  # MySQL refuses 0 to an AutoField
    )
    status = models.IntegerField()
    completion_time = UnixTimeField()
    delete_after = UnixTimeField(null=True, db_index=True)

    arg = ArgField(null=True)
    uniqkey = NameField(max_length=255, null=True)
    coalesce = NameField(max_length=255, null=True)
    priority = models.SmallIntegerField(null=True)
    queue_name = NameField(max_length=255, null=True)
    insert_time = UnixTimeField(null=True)
    run_after = UnixTimeField(null=True)
    scheduled_for = UnixMicrosecondField(null=True)
    dispatched_at = UnixMicrosecondField(null=True)
    #: When the last attempt's grab was, when the first attempt began, and when the last ended.
    grabbed_at = UnixMicrosecondField(null=True)
    started_at = UnixMicrosecondField(null=True)
    completed_at = UnixMicrosecondField(null=True)
    #: Seconds that the last attempt took.
    runtime = models.FloatField(null=True)
    worker_id = models.CharField(max_length=255, null=True)
    result = MetaField(null=True)
    meta = MetaField(null=True)

    objects = ExitStatusQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "exit statuses"
        permissions = [("dispatch_again", "Can dispatch a failed job again")]
        indexes = [
            models.Index(fields=["func", "jobid"], name="schwartz_exit_by_func"),
            # Small ones, for the few that are looked for: most rows are in neither.
            SmallIndex(
                fields=["jobid"],
                only=~models.Q(status=0),
                whole=["status", "jobid"],
                name="schwartz_exit_failed",
            ),
            SmallIndex(
                fields=["uniqkey"],
                only=models.Q(uniqkey__isnull=False),
                whole=["uniqkey"],
                name="schwartz_exit_uniqkey",
            ),
        ]

    def __str__(self) -> str:
        outcome = f"failed ({self.status})" if self.status else "completed"
        return f"{self.jobid} {outcome}"
