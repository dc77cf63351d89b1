"""Which jobs: the states of the queue as querysets, the grab, and the dispatch."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections, models
from django.db.models.base import ModelState
from django.db.models.functions import Left
from django.db.models.lookups import Exact, GreaterThanOrEqual

from django_schwartz import signals
from django_schwartz.conf import conf
from django_schwartz.dialects import INSERTED, Later, Lease, Level, Row, ServerTime, dialect_of
from django_schwartz.exceptions import SchwartzError
from django_schwartz.fields import UnixMicrosecondField, UnixTimeField
from django_schwartz.models.arg import stored_arg
from django_schwartz.models.funcmap import FuncMap
from django_schwartz.serializers import checked_name
from django_schwartz.wakeup import announce_dispatch

if TYPE_CHECKING:
    from django_schwartz.models.job import Job

#: Jobs inserted by one statement.
INSERT_BATCH = 500
#: Looks at a uniqkey whose job keeps leaving the queue between our INSERT and our SELECT.
DUPLICATE_LOOKS = 10

#: What turns a column's value into the attribute of this name.
Reader = tuple[str, Callable[[Any], Any]]

SECONDS = UnixTimeField()
MICROSECONDS = UnixMicrosecondField()


class Priority(models.Func):
    """A job's priority as a number: none is 0. The literal is what lets an index on it be used."""

    template = "COALESCE(%(expressions)s, 0)"
    output_field = models.IntegerField()


class HeldJob(Protocol):
    """A job, as somebody holds it: by one of these leases."""

    @property
    def jobid(self) -> int: ...
    @property
    def grabs(self) -> int: ...
    @property
    def leases(self) -> tuple[int, ...]: ...


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

    def held(self, jobs: "Iterable[HeldJob]") -> "JobQuerySet":
        """Those of the jobs that nobody grabbed, released or settled since they were read."""
        leases: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
        for job in jobs:
            leases[job.grabs, job.leases].append(job.jobid)
        is_held = models.Q(pk__in=[])
        for (grabs, untils), jobids in leases.items():
            is_held |= models.Q(pk__in=jobids, grabs=grabs, grabbed_until__in=untils)
        return self.filter(is_held)

    # Selection

    def of(self, funcids: Iterable[int]) -> "JobQuerySet":
        return self.filter(func_id__in=list(funcids))

    def at_least(self, floor: int) -> "JobQuerySet":
        """Jobs of that priority or a higher one."""
        return self.filter(GreaterThanOrEqual(Priority("priority"), floor))

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

    def from_rows(self, cursor: Any) -> "list[Job]":
        """The jobs that a cursor gives, which may have more columns than the table.

        Not by from_db(), which takes as long as it takes to perform a small job.
        """
        fields = {field.column: field for field in self.model._meta.concrete_fields}
        columns = [fields.get(column[0], column[0]) for column in cursor.description]
        names = [getattr(column, "attname", column) for column in columns]
        readers: list[Reader] = [
            (field.attname, partial(field.from_db_value, expression=None, connection=cursor.db))
            for field in columns
            if hasattr(field, "from_db_value")
        ]
        return [
            self._made_of(dict(zip(names, row, strict=True)), readers) for row in cursor.fetchall()
        ]

    def _made_of(self, values: dict[str, Any], readers: list[Reader]) -> "Job":
        for name, read in readers:
            if values[name] is not None:
                values[name] = read(values[name])
        job = self.model.__new__(self.model)
        job.__dict__.update(values)
        job._state = ModelState()
        job._state.adding, job._state.db = False, self.db
        return job

    # Verbs

    def release(self, jobs: "Iterable[HeldJob]") -> int:
        """Give back jobs that are held, for anybody to grab at once; tells how many were."""
        return self.held(jobs).update(grabbed_until=0)

    def grab(self, lease: Lease, *, limit: int = 1, look_at: int = 50) -> "list[Job]":
        """Lease up to `limit` of these jobs, in their order, and return them as the holder's.

        `look_at` candidates are considered where the database grabs one by one.
        """
        if not lease.seconds:
            return []
        dialect = dialect_of(connections[self.db])
        grabbed = dialect.grab(self[: max(limit, look_at)], lease, limit=limit)
        return _told(grabbed)

    def find_levels(self, funcids: Iterable[int], *, floor: int = 0) -> list[Level] | None:
        """Where these functions' due jobs begin, by priority; None if the database cannot say.

        However long the queue is, it costs the same. `floor` is the lowest priority, 0 for none.
        """
        return dialect_of(connections[self.db]).find_levels(self, list(funcids), floor=floor)

    def grab_levels(self, levels: Sequence[Level], lease: Lease, *, limit: int) -> "list[Job]":
        """Lease up to `limit` due jobs, level by level, of each no more than its share."""
        dialect = dialect_of(connections[self.db])
        return _told(dialect.grab_levels(self, levels, lease, limit=limit))

    def dispatch(self, jobs: "Sequence[Job]") -> None:
        """Insert jobs into the queue, a statement for each 500. Each then has its handle.

        A job whose uniqkey is queued already gets the queued job's handle, and `is_duplicate`.
        Raises TypeError or ValueError for a job that cannot be stored, before any is. Opens no
        transaction. Idle workers are woken after the commit.
        """
        rows = [_row_of(job, self.db) for job in jobs]
        began, has_seen_idle = time.monotonic(), False
        for start in range(0, len(jobs), INSERT_BATCH):
            batch = slice(start, start + INSERT_BATCH)
            has_seen_idle |= self._dispatch_batch(jobs[batch], rows[batch])
        announce_dispatch(self.db, began=began, has_seen_idle=has_seen_idle)

    def _dispatch_batch(self, jobs: "Sequence[Job]", rows: Sequence[Row]) -> bool:
        """Insert jobs; whether a worker is idle."""
        inserted = dialect_of(connections[self.db]).insert(self, rows)
        for job, row, new in zip(jobs, rows, inserted, strict=True):
            if new is None:
                self._hand_to_twin(job, row)
            else:
                job.become_stored(new, funcid=row[INSERTED.index("funcid")], using=self.db)
        return any(new is not None and new.has_seen_idle for new in inserted)

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


def _told(grabbed: "list[Job]") -> "list[Job]":
    if signals.job_grabbed.has_listeners():
        for job in grabbed:
            signals.job_grabbed.send_robust(type(job), job=job)
    return grabbed


def _row_of(job: "Job", using: str) -> Row:
    """What an insert of the job writes, in the order of INSERTED. Raises TypeError, ValueError."""
    values = checked_values(job)
    values["funcid"] = FuncMap.objects.get_or_make(values["funcname"], using=using).funcid
    return [values[column] for column in INSERTED]


def checked_values(job: "Job") -> dict[str, Any]:
    """What an insert of the job writes, and its funcname, without a query.

    Raises TypeError or ValueError for a job that cannot be stored.
    """
    arg = _checked_arg(job)
    run_after, scheduled_for = _times_of(job)
    return {
        "jobid": job.jobid if job._state.adding else None,
        "funcname": _checked_funcname(job),
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


def _checked_funcname(job: "Job") -> str:
    funcname = checked_name("funcname", job.funcname)
    if not funcname:
        raise ValueError("A job needs a funcname: the name of the worker that is to perform it.")
    return funcname


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
