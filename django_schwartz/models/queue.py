"""Which jobs: the states of the queue as querysets, the grab, and the dispatch."""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models.functions import Left
from django.db.models.lookups import Exact, GreaterThanOrEqual

from django_schwartz.conf import conf
from django_schwartz.dialects import INSERTED, Later, Lease, Row, ServerTime, dialect_of
from django_schwartz.exceptions import SchwartzError
from django_schwartz.fields import UnixMicrosecondField, UnixTimeField
from django_schwartz.models.arg import stored_arg
from django_schwartz.models.funcmap import FuncMap
from django_schwartz.serializers import checked_name

if TYPE_CHECKING:
    from django_schwartz.models.job import Job

#: Jobs inserted by one statement.
INSERT_BATCH = 500
#: Looks at a uniqkey whose job keeps leaving the queue between our INSERT and our SELECT.
DUPLICATE_LOOKS = 10

SECONDS = UnixTimeField()
MICROSECONDS = UnixMicrosecondField()


class Priority(models.Func):
    """A job's priority as a number: none is 0. The literal is what lets an index on it be used."""

    template = "COALESCE(%(expressions)s, 0)"
    output_field = models.IntegerField()


class Queue(models.Func):
    """A job's queue by name: none is "default"."""

    template = "COALESCE(%(expressions)s, 'default')"
    output_field = models.CharField()


class JobQuerySet(models.QuerySet["Job"]):
    @property
    def table(self) -> str:
        return str(connections[self.db].ops.quote_name(self.model._meta.db_table))

    # States

    def free(self) -> "JobQuerySet":
        """Jobs that nobody holds."""
        return self.filter(grabbed_until__lte=ServerTime())

    def due(self) -> "JobQuerySet":
        """Jobs that a worker may grab now."""
        return self.free().filter(run_after__lte=ServerTime())

    def delayed(self) -> "JobQuerySet":
        """Jobs that wait for their time."""
        return self.free().filter(run_after__gt=ServerTime())

    def grabbed(self) -> "JobQuerySet":
        """Jobs that a worker holds."""
        return self.filter(grabbed_until__gt=ServerTime())

    def lapsed(self) -> "JobQuerySet":
        """Jobs whose lease ended with no outcome: their worker died, or took too long."""
        return self.free().filter(grabbed_until__gt=0)

    # Selection

    def of(self, funcids: Iterable[int]) -> "JobQuerySet":
        return self.filter(func_id__in=list(funcids))

    def at_least(self, floor: int) -> "JobQuerySet":
        """Jobs of that priority or a higher one."""
        return self.filter(GreaterThanOrEqual(Priority("priority"), floor))

    def in_queues(self, names: Iterable[str]) -> "JobQuerySet":
        """Jobs of these queues; one that names none is in "default"."""
        return self.alias(queue=Queue("queue_name")).filter(queue__in=list(names))

    def not_in_queues(self, names: Iterable[str]) -> "JobQuerySet":
        """Jobs of all queues but these."""
        return self.alias(queue=Queue("queue_name")).exclude(queue__in=list(names))

    def coalescing(self, value: str) -> "JobQuerySet":
        return self.filter(coalesce=value)

    def coalescing_prefix(self, prefix: str) -> "JobQuerySet":
        """Jobs whose coalesce begins so. LIKE would ignore case on some databases."""
        if not prefix:
            return self.filter(coalesce__isnull=False)
        return self.filter(Exact(Left("coalesce", len(prefix)), prefix))

    def in_order(self, *, prioritize: bool) -> "JobQuerySet":
        """The highest priority first, then the longest due; or first come, first served."""
        if prioritize:
            return self.order_by(Priority("priority").desc(), "run_after", "jobid")
        return self.order_by("jobid")

    # Verbs

    def grab(self, lease: Lease, *, limit: int = 1, look_at: int = 50) -> "list[Job]":
        """Lease up to `limit` of these jobs, in their order, and return them as the holder's.

        `look_at` candidates are considered where the database grabs one by one.
        """
        if not lease.seconds:
            return []
        dialect = dialect_of(connections[self.db])
        grabbed = dialect.grab(self[: max(limit, look_at)], lease, limit=limit)
        for job in grabbed:
            job.become_grabbed()
        return grabbed

    def dispatch(self, jobs: "Sequence[Job]") -> None:
        """Insert jobs into the queue, a statement for each 500. Each then has its handle.

        A job whose uniqkey is queued already gets the queued job's handle, and `is_duplicate`.
        Raises TypeError or ValueError for a job that cannot be stored, before any is. Opens no
        transaction.
        """
        rows = [_row_of(job, self.db) for job in jobs]
        for start in range(0, len(jobs), INSERT_BATCH):
            batch = slice(start, start + INSERT_BATCH)
            self._dispatch_batch(jobs[batch], rows[batch])

    def _dispatch_batch(self, jobs: "Sequence[Job]", rows: Sequence[Row]) -> None:
        inserted = dialect_of(connections[self.db]).insert(self, rows)
        for job, row, new in zip(jobs, rows, inserted, strict=True):
            if new is None:
                self._hand_to_twin(job, row)
            else:
                job.become_stored(new, funcid=row[INSERTED.index("funcid")], using=self.db)

    def _hand_to_twin(self, job: "Job", row: Row) -> None:
        """Give the job the handle of the one that has its uniqkey; insert it if that is gone."""
        funcid, uniqkey = row[INSERTED.index("funcid")], row[INSERTED.index("uniqkey")]
        for _ in range(DUPLICATE_LOOKS):
            twin = self.filter(func_id=funcid, uniqkey=uniqkey).values_list("pk", flat=True).first()
            if twin is not None:
                return job.become_duplicate_of(twin, funcid=funcid, using=self.db)
            [new] = dialect_of(connections[self.db]).insert(self, [row])
            if new is not None:
                return job.become_stored(new, funcid=funcid, using=self.db)
        raise SchwartzError(
            f"uniqkey {uniqkey!r} is queued, but the job that has it is not to be seen."
        )


def _row_of(job: "Job", using: str) -> Row:
    """What an insert of the job writes, in the order of INSERTED. Raises TypeError, ValueError."""
    arg = _checked_arg(job)
    run_after, scheduled_for = _times_of(job)
    values = {
        "jobid": job.jobid if job._state.adding else None,
        "arg": arg,
        "uniqkey": checked_name("uniqkey", job.uniqkey),
        "insert_time": None,
        "run_after": run_after,
        "grabbed_until": 0,
        "priority": _checked_priority(job.priority),
        "coalesce": checked_name("coalesce", job.coalesce),
        "dispatched_at": None,
        "scheduled_for": scheduled_for,
        "queue_name": checked_name("queue_name", job.queue_name),
        "meta": None if job.meta is None else json.dumps(job.meta),
    }
    funcname = checked_name("funcname", job.funcname)
    if not funcname:
        raise ValueError("A job needs a funcname: the name of the worker that is to perform it.")
    values["funcid"] = FuncMap.objects.get_or_make(funcname, using=using).funcid
    return [values[column] for column in INSERTED]


def _checked_arg(job: "Job") -> bytes | None:
    arg, limit = stored_arg(job), conf().max_arg_bytes
    if arg is not None and len(arg) > limit:
        raise ValueError(
            f"The arg has {len(arg):,} bytes, more than SCHWARTZ['MAX_ARG_BYTES'] = {limit:,}: "
            "store it elsewhere and dispatch where it is."
        )
    return arg


def _checked_priority(priority: int | None) -> int:
    if priority is None:
        return 0
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError(f"priority must be a whole number, not {priority!r}.")
    if not -32_768 <= priority <= 32_767:
        raise ValueError(f"priority must lie between -32768 and 32767, not at {priority}.")
    return priority


def _times_of(job: "Job") -> tuple[int | Later | None, int | Later | None]:
    """run_after and scheduled_for in their columns' units; None and None are the server's now."""
    asked: Any = job.run_after
    if isinstance(asked, timedelta):
        later = Later(asked // timedelta(microseconds=1))
        return later, later
    if not asked:
        return None, None
    moment = SECONDS.to_python(asked)
    return SECONDS.get_prep_value(moment), MICROSECONDS.get_prep_value(moment)
