"""What is in the queue, as a test asks for it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django_schwartz.conf import conf
from django_schwartz.models import Job
from django_schwartz.models.arg import arg_format_of
from django_schwartz.models.rows import SECONDS
from django_schwartz.serializers import decode_arg, encode_arg
from django_schwartz.worker import Worker

#: What a job can be asked for.
ASKED = ("arg", "uniqkey", "run_after", "priority", "coalesce", "queue_name", "meta")


def dispatched(
    worker: str | type[Worker] | None = None, *, using: str | None = None, **fields: Any
) -> list[Job]:
    """The queued jobs of that worker, or of all, that have these fields, in their order.

    The fields are those of a dispatch: an arg is compared as it comes back from the database,
    `run_after` is a moment or the timedelta that was asked for. Raises TypeError for another.
    """
    if unknown := sorted(set(fields) - set(ASKED)):
        raise TypeError(f"A job is asked for {', '.join(ASKED)}, not for {unknown[0]}.")
    funcname = worker if worker is None or isinstance(worker, str) else worker.funcname
    return [
        job
        for job in _queued(using)
        if funcname in (None, job.funcname)
        and all(_has(job, name, value) for name, value in fields.items())
    ]


def assert_dispatched(
    worker: str | type[Worker],
    *,
    count: int | None = None,
    using: str | None = None,
    **fields: Any,
) -> Job:
    """Assert that the queue has such a job, or exactly `count`, and give it, or the first.

    See dispatched() for the fields.
    """
    found = dispatched(worker, using=using, **fields)
    if not found or (count is not None and len(found) != count):
        wanted = "a job" if count is None else f"{count} jobs"
        raise AssertionError(
            f"Expected {wanted} of {_described(worker, fields)}, found {len(found)}. {_told(using)}"
        )
    return found[0]


def assert_not_dispatched(
    worker: str | type[Worker] | None = None, *, using: str | None = None, **fields: Any
) -> None:
    """Assert that the queue has no such job: none at all, if nothing is said of it."""
    if found := dispatched(worker, using=using, **fields):
        raise AssertionError(
            f"Expected no job of {_described(worker, fields)}, found {len(found)}. {_told(using)}"
        )


def _queued(using: str | None) -> Iterator[Job]:
    for alias in [using] if using else conf().databases:
        yield from Job.objects.using(alias).order_by("jobid")


def _has(job: Job, name: str, value: Any) -> bool:
    if name == "arg":
        return bool(job.arg == _round_trip(job, value))
    if name == "run_after":
        return _runs_after(job, value)
    if name in ("uniqkey", "coalesce", "queue_name") and value is not None:
        value = str(value)  # as a dispatch stores it
    return bool(getattr(job, name) == value)


def _round_trip(job: Job, arg: object) -> object:
    """The arg as a worker of the job's function would get it."""
    arg_format = arg_format_of(job)
    return decode_arg(encode_arg(arg, arg_format), arg_format)


def _runs_after(job: Job, asked: Any) -> bool:
    if isinstance(asked, timedelta):
        scheduled, dispatched_at = job.scheduled_for, job.dispatched_at
        return bool(scheduled and dispatched_at and scheduled - dispatched_at == asked)
    return bool(job.run_after == SECONDS.to_python(SECONDS.get_prep_value(asked)))


def _described(worker: str | type[Worker] | None, fields: dict[str, Any]) -> str:
    name = worker if isinstance(worker, str) else worker.funcname if worker else "any worker"
    told = ", ".join(f"{field}={value!r}" for field, value in fields.items())
    return f"{name} with {told}" if told else name


def _told(using: str | None) -> str:
    lines = [f"  {job.funcname} {_details(job)}" for job in _queued(using)]
    return "\n".join(["The queue has:", *lines]) if lines else "The queue is empty."


def _details(job: Job) -> str:
    given = {name: getattr(job, name) for name in ASKED}
    return ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
