"""Which jobs: the states of the queue as querysets, the grab, and the dispatch."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Left
from django.db.models.lookups import Exact, GreaterThanOrEqual

from django_schwartz import signals
from django_schwartz.dialects import (
    Lease,
    Level,
    ServerMicroseconds,
    ServerTime,
    dialect_of,
)
from django_schwartz.fields import UnixTimeField
from django_schwartz.models.columns import Priority
from django_schwartz.models.funcmap import FuncMap
from django_schwartz.models.handle import JobHandle
from django_schwartz.models.insertion import Insertion
from django_schwartz.models.quick import QuickState
from django_schwartz.models.rows import Rows
from django_schwartz.wakeup import announce_dispatch, announce_release

if TYPE_CHECKING:
    from django_schwartz.models.job import Job

#: Jobs inserted by one statement.
INSERT_BATCH = 1000


class HeldJob(Protocol):
    """A job, as somebody holds it: by one of these leases."""

    @property
    def jobid(self) -> int: ...
    @property
    def grabs(self) -> int: ...
    @property
    def leases(self) -> tuple[int, ...]: ...


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

    def held(self, jobs: "Iterable[HeldJob]") -> "JobQuerySet":
        """Those of the jobs that nobody grabbed, released or settled since they were read."""
        is_held = models.Q(pk__in=[])
        for (grabs, leases), jobids in self.alike(jobs).items():
            for lease in leases:
                is_held |= models.Q(pk__in=jobids, grabs=grabs, grabbed_until=lease)
        return self.filter(is_held)

    @staticmethod
    def alike(jobs: "Iterable[HeldJob]") -> dict[tuple[int, tuple[int, ...]], list[int]]:
        """The numbers of the jobs that are held alike, by their grabs and leases."""
        jobids: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
        for job in jobs:
            jobids[job.grabs, job.leases].append(job.jobid)
        return jobids

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

    def from_rows(self, cursor: Any) -> "list[Job]":
        """The jobs that a cursor gives, which may have more columns than the table.

        Not by from_db(), which takes as long as it takes to perform a small job.
        """
        rows = cursor.fetchall()
        if not rows:
            return []
        shared, each = self._read_columns(cursor.description, zip(*rows, strict=True))
        funcids = each.get("func_id") or [shared["func_id"]]
        funcnames = FuncMap.objects.names_of(set(funcids), using=self.db)
        if len(funcnames) == 1:
            [shared["_funcname"]] = funcnames.values()
        else:
            each["_funcname"] = [funcnames[funcid] for funcid in funcids]
        return self._made_of(shared, each, len(rows))

    def _read_columns(
        self, description: Iterable[Any], columns: Iterable[Sequence[Any]]
    ) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
        """By attribute, the values that all rows have alike, as most are; and those of each row."""
        fields = {field.column: field for field in self.model._meta.concrete_fields}
        connection = connections[self.db]
        shared: dict[str, Any] = {}
        each: dict[str, Sequence[Any]] = {}
        for about, values in zip(description, columns, strict=True):
            field = fields.get(about[0])
            name = field.attname if field else about[0]
            is_mutable = isinstance(field, models.JSONField) and values[0] is not None
            if values.count(values[0]) == len(values) and not is_mutable:
                [shared[name]] = _read(values[:1], field, connection)
            else:
                each[name] = _read(values, field, connection)
        return shared, each

    def _made_of(
        self, shared: dict[str, Any], each: dict[str, Sequence[Any]], count: int
    ) -> "list[Job]":
        """Jobs that have the shared attributes all, and of each of the others the next value."""
        model, using, jobs = self.model, self.db, []
        for _ in range(count):
            job = model.__new__(model)
            job.__dict__ = attributes = shared.copy()
            attributes["_state"] = state = QuickState()
            state.adding, state.db = False, using
            jobs.append(job)
        for name, values in each.items():
            for job, value in zip(jobs, values, strict=True):
                job.__dict__[name] = value
        return jobs

    def seconds_until_due(self, funcids: Iterable[int], *, at_most: int) -> float:
        """Seconds until one of these jobs, of these functions, may be grabbed; 0 if one may now.

        `at_most` if that takes longer, or if there is none. Of jobs whose time has not come it is
        all of the functions', so that the index tells which is the next.
        """
        of_function = {"func_id": models.OuterRef("pk")}
        leased = self.filter(
            **of_function,
            run_after__lte=ServerTime(),
            grabbed_until__lte=ServerTime() + at_most,
        )
        later = self.model._default_manager.using(self.db).filter(
            **of_function, run_after__gt=ServerTime()
        )
        rows = FuncMap.objects.using(self.db).filter(pk__in=list(funcids))
        moments = rows.values_list(
            _first_of(leased, "grabbed_until"), _first_of(later, "run_after"), ServerMicroseconds()
        )
        waits: list[float] = [
            seconds - now_us / 1_000_000
            for *pair, now_us in moments
            for seconds in pair
            if seconds is not None
        ]
        return max(0, min([at_most, *waits]))

    # Verbs

    def release(self, jobs: "Iterable[HeldJob]") -> int:
        """Give back jobs that are held, for anybody to grab at once; tells how many were."""
        released = self.held(jobs).update(grabbed_until=0)
        if released:
            announce_release(connections[self.db])
        return released

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

    def dispatch(self, jobs: "Sequence[Job]") -> list[JobHandle]:
        """Insert jobs into the queue, by the thousand, and give their handles.

        A job whose uniqkey is queued already gets the queued job's handle, and `is_duplicate`.
        Raises TypeError or ValueError for a job that cannot be stored, before any is. Opens no
        transaction. Idle workers are woken after the commit.
        """
        rows = list(map(Rows(self.db).row_of, jobs))
        connection = connections[self.db]
        handles: list[JobHandle] = []
        began, has_seen_idle = time.monotonic(), False
        for start in range(0, len(jobs), INSERT_BATCH):
            batch = slice(start, start + INSERT_BATCH)
            insertion = Insertion(self, dialect_of(connection), jobs[batch], rows[batch])
            handles += insertion.insert()
            has_seen_idle |= insertion.has_seen_idle
        announce_dispatch(connection, began=began, has_seen_idle=has_seen_idle)
        return handles


def _read(values: Sequence[Any], field: Any, connection: BaseDatabaseWrapper) -> Sequence[Any]:
    """A column's values as attributes; each moment is made once, since a batch shares them."""
    if not hasattr(field, "from_db_value"):
        return values
    if isinstance(field, UnixTimeField):
        moments = {value: field.from_db_value(value) for value in set(values)}
        return [moments[value] for value in values]
    read = field.from_db_value
    return [None if value is None else read(value, None, connection) for value in values]


def _first_of(jobs: JobQuerySet, column: str) -> models.Subquery:
    """The least value of a column, in its unit, by a subquery."""
    number = models.ExpressionWrapper(models.F(column), models.BigIntegerField())
    least = jobs.order_by(column).annotate(number=number).values("number")[:1]
    return models.Subquery(least, output_field=models.BigIntegerField())


def _told(grabbed: "list[Job]") -> "list[Job]":
    now = time.monotonic()
    for job in grabbed:
        job.heard_at = now
    signals.tell(signals.job_grabbed, grabbed)
    return grabbed
