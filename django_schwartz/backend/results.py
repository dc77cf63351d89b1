"""TaskResults, from jobs and from what is left of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils import timezone

from django_schwartz.backend.compat import (
    DEFAULT_TASK_QUEUE_NAME,
    AnyResult,
    AnyTask,
    TaskError,
    TaskResult,
    TaskResultStatus,
)
from django_schwartz.backend.finding import task_named
from django_schwartz.backend.jobs import backend_of, call_in
from django_schwartz.backend.task import altered
from django_schwartz.dialects import LAPSED, ServerTime
from django_schwartz.exceptions import ArgUnreadable, SchwartzError
from django_schwartz.models import Error, ExitStatus, Failure, Job, JobHandle, Outcome
from django_schwartz.performance import LAPSED_LEASE

#: What TaskError names as the exception of a failure that was told in words, or of a lost lease.
NO_EXCEPTION = f"{SchwartzError.__module__}.{SchwartzError.__qualname__}"

#: The id of a worker that nobody knows.
UNKNOWN = "unknown"

_IS_HELD = ExpressionWrapper(Q(grabbed_until__gt=ServerTime()), output_field=BooleanField())
_IS_KEPT = Q(delete_after__isnull=True) | Q(delete_after__gte=ServerTime())


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What is known of the attempts at a task: the failed ones, and the last one."""

    errors: "tuple[TaskError, ...]" = ()
    worker_ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, errors: Iterable[Error], last: str | None) -> "Attempts":
        """`last` is the id of who makes or made the last attempt, None if the errors tell."""
        rows = list(errors)
        ids = [_worker_of(row) for row in rows]
        if last is not None and _worker_id(last) not in ids:
            ids.append(_worker_id(last))
        told = [_task_error(row.exception, row.traceback, row.message) for row in rows]
        return cls(errors=tuple(told), worker_ids=tuple(ids))

    @classmethod
    def of_finished(cls, errors: Iterable[Error], last: str, exit_status: int | None) -> "Attempts":
        """The same of a task that is done with. Of one that failed the errors tell all."""
        rows = list(errors)
        return cls.of(rows, None if exit_status and rows else last)


def read_result(handle: JobHandle) -> AnyResult | None:
    """The result of the task that became this job; None if there is none, or not any more."""
    job = Job.objects.using(handle.alias).annotate(is_held=_IS_HELD).filter(pk=handle.jobid).first()
    if job is not None:
        return _result_in_queue(job, is_held=bool(getattr(job, "is_held", False)))
    kept = ExitStatus.objects.using(handle.alias).filter(_IS_KEPT, pk=handle.jobid).first()
    return _result_of_exit(kept) if kept else None


def result_of_dispatched(task: AnyTask, job: Job) -> AnyResult:
    """The result of a task that was just enqueued."""
    if isinstance(task.run_after, timedelta):
        job.scheduled_for = job.dispatched_at and job.dispatched_at + task.run_after
    else:
        job.scheduled_for = task.run_after
    return _result(task, job, TaskResultStatus.READY, Attempts())


def result_of_running(job: Job) -> AnyResult:
    """The result of a task that this process begins with."""
    attempts = Attempts.of(_errors_before(job), job.grabbed_by)
    return _result(_task_of(job), job, TaskResultStatus.RUNNING, attempts, **_times(job))


def result_of_finished(job: Job, outcome: Outcome) -> AnyResult:
    """The result of a task that this process has finished."""
    errors = _errors_before(job)
    attempts = Attempts.of_finished(errors, job.grabbed_by or "", outcome.exit_status)
    if outcome.failure and job.grabs <= 1:
        attempts = Attempts(errors=(_error_of(outcome.failure),), worker_ids=attempts.worker_ids)
    result = _result(
        _task_of(job),
        job,
        _status(outcome.exit_status),
        attempts,
        **_times(job),
        finished_at=job.completed_at,
    )
    object.__setattr__(result, "_return_value", None if outcome.exit_status else job.result)
    return result


def _errors_before(job: Job) -> Iterable[Error]:
    """The job's errors, which are not asked for at its first attempt."""
    return Error.objects.using(job.alias).of(job.jobid) if job.grabs > 1 else ()


def _result_in_queue(job: Job, *, is_held: bool) -> AnyResult | None:
    task = task_named(job.funcname)
    if task is None:
        return None
    status = TaskResultStatus.RUNNING if is_held else TaskResultStatus.READY
    if not job.grabs:
        return _result(task, job, status, Attempts())
    was_begun = job.grabbed_until is not None  # and not released since
    errors = Error.objects.using(job.alias).of(job.jobid)
    attempts = Attempts.of(errors, job.grabbed_by if was_begun else None)
    times = _times(job) if attempts.worker_ids else {}
    return _result(task, job, status, attempts, **times)


def _result_of_exit(row: ExitStatus) -> AnyResult | None:
    task = task_named(row.funcname)
    if task is None:
        return None
    errors = Error.objects.using(row._state.db).of(row.jobid)
    attempts = Attempts.of_finished(errors, row.worker_id or "", row.status)
    finished_at = row.completed_at or row.completion_time
    result = _result(
        task, row, _status(row.status), attempts, **_times(row), finished_at=finished_at
    )
    object.__setattr__(result, "_return_value", row.result)
    return result


def _result(
    task: AnyTask,
    row: Job | ExitStatus,
    status: TaskResultStatus,
    attempts: Attempts,
    *,
    started_at: datetime | None = None,
    last_attempted_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> AnyResult:
    args, kwargs = _call(row)
    return TaskResult(
        task=_as_enqueued(task, row),
        id=str(JobHandle(row._state.db or "", row.jobid)),
        status=status,
        enqueued_at=_shown(row.dispatched_at or row.insert_time),
        started_at=_shown(started_at),
        last_attempted_at=_shown(last_attempted_at),
        finished_at=_shown(finished_at),
        args=args,
        kwargs=kwargs,
        backend=backend_of(row),
        errors=list(attempts.errors),
        worker_ids=list(attempts.worker_ids),
    )


def _as_enqueued(task: AnyTask, row: Job | ExitStatus) -> AnyTask:
    changes = {
        "priority": row.priority or 0,
        "queue_name": row.queue_name or DEFAULT_TASK_QUEUE_NAME,
        "run_after": _shown(row.scheduled_for),
        "backend": backend_of(row),
        "uniqkey": row.uniqkey,
        "coalesce": row.coalesce,
    }
    return altered(task, changes)


def _call(row: Job | ExitStatus) -> tuple[list[Any], dict[str, Any]]:
    try:
        return call_in(row.arg)
    except (ArgUnreadable, ValueError):
        return [], {}


def _times(row: Job | ExitStatus) -> Mapping[str, datetime | None]:
    return {
        "started_at": row.started_at or row.grabbed_at,
        "last_attempted_at": row.grabbed_at or row.started_at,
    }


def _shown(moment: datetime | None) -> datetime | None:
    """The moment as Django shows one: naive where USE_TZ is off."""
    if moment is None or settings.USE_TZ or timezone.is_naive(moment):
        return moment
    return timezone.make_naive(moment)


def _status(exit_status: int | None) -> TaskResultStatus:
    return TaskResultStatus.FAILED if exit_status else TaskResultStatus.SUCCESSFUL


def _task_of(job: Job) -> AnyTask:
    task = task_named(job.funcname)
    if task is None:
        raise LookupError(f"{job.funcname} is no task.")
    return task


def _error_of(failure: Failure) -> TaskError:
    return _task_error(failure.exception, failure.traceback, failure.message)


def _task_error(exception: str | None, traceback: str | None, message: str) -> TaskError:
    return TaskError(exception_class_path=exception or NO_EXCEPTION, traceback=traceback or message)


def _worker_of(error: Error) -> str:
    """Who made the attempt that failed; of one who died only the next one tells."""
    return UNKNOWN if error.message == LAPSED_LEASE else _worker_id(error.worker_id)


def _worker_id(grabbed_by: str | None) -> str:
    return grabbed_by.removesuffix(LAPSED) if grabbed_by else UNKNOWN
