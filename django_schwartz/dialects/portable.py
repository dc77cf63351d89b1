"""What every database can do: `Dialect`, which the others are children of.

The SQL here goes through parameter formatting: a percent sign of its own is doubled.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import (
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    models,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

if TYPE_CHECKING:
    from django_schwartz.models import Job, JobQuerySet

#: What an insert gives a value; the database has defaults for the other columns.
INSERTED = (
    "jobid",
    "funcid",
    "arg",
    "uniqkey",
    "insert_time",
    "run_after",
    "grabbed_until",
    "priority",
    "coalesce",
    "dispatched_at",
    "scheduled_for",
    "queue_name",
    "meta",
)
#: The dialect of each vendor.
DIALECTS: "dict[str, Dialect]" = {}
#: The most that the column `grabs` holds.
MOST_GRABS = 2**31 - 1
#: Looks at the queue for one grab, when others were faster with every candidate.
LOOKS = 10
#: One row of an insert: a value for each of INSERTED; None where the database is to give it, Later
#: for its time.
Row = Sequence[Any]


class Later(int):
    """That many microseconds after the server's time."""


def dialect_of(connection: BaseDatabaseWrapper) -> "Dialect":
    return DIALECTS[connection.vendor]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """For whom jobs are grabbed, and for how many seconds by funcid."""

    grabbed_by: str
    seconds: Mapping[int, int]


@dataclass(frozen=True)
class Inserted:
    """What the database made of an inserted job: its id, and its times in the columns' units."""

    jobid: int
    insert_time: int
    run_after: int
    dispatched_at: int


class ServerTime(models.Func):
    """The database server's time in whole UNIX seconds, rounded down."""

    output_field = models.BigIntegerField()

    def as_sql(
        self, compiler: Any, connection: BaseDatabaseWrapper, *args: Any, **kwargs: Any
    ) -> tuple[str, Any]:
        return dialect_of(connection).now, []


class ServerMicroseconds(models.Func):
    """The database server's time in UNIX microseconds, as exactly as it tells it."""

    output_field = models.BigIntegerField()

    def as_sql(
        self, compiler: Any, connection: BaseDatabaseWrapper, *args: Any, **kwargs: Any
    ) -> tuple[str, Any]:
        return dialect_of(connection).now_us, []


class ServerTimeIn(models.Func):
    """That many seconds after the server's time, in UNIX seconds rounded up: never early."""

    output_field = models.BigIntegerField()

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.later = Later(math.ceil(seconds * 1_000_000))

    def as_sql(
        self, compiler: Any, connection: BaseDatabaseWrapper, *args: Any, **kwargs: Any
    ) -> tuple[str, Any]:
        return dialect_of(connection).later_seconds, [self.later]


class Dialect:
    """What every database can do: select candidates, then take each by compare-and-swap."""

    #: SQL of the server's time in whole UNIX seconds, rounded down; the same throughout a
    #: statement.
    now: ClassVar[str] = "UNIX_TIMESTAMP()"
    #: SQL of the same in microseconds.
    now_us: ClassVar[str] = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
    #: The operator that divides whole numbers and rounds down.
    divide: ClassVar[str] = "DIV"
    #: What an insert writes for a jobid that the database is to give.
    next_jobid: ClassVar[str] = "NULL"

    def __init__(self) -> None:
        #: Called between the SELECT of the candidates and the UPDATE that takes one: for tests, to
        #: open the race.
        self.after_select: Callable[[], object] = lambda: None

    def grab(self, candidates: "JobQuerySet", lease: Lease, *, limit: int) -> "list[Job]":
        """Lease up to `limit` of the candidates, in their order.

        A job that somebody took or touched since it was read is passed over. The whole of its state
        is compared, so that one grabbed and released with a delay in between is not mistaken for
        free.
        """
        for _ in range(LOOKS):
            read = list(candidates.defer("arg", "meta"))
            if not read:
                break
            if grabbed := self._take_of(read, lease, limit):
                return grabbed
        return []

    def _take_of(self, read: "list[Job]", lease: Lease, limit: int) -> "list[Job]":
        self.after_select()
        grabbed: list[Job] = []
        for job in read:
            if len(grabbed) < limit and self._take(job, lease):
                held = job.as_grabbed(lease.grabbed_by)
                grabbed += [held] if held else []
        return grabbed

    @staticmethod
    def _take(job: "Job", lease: Lease) -> bool:
        unchanged = job.as_read().filter(run_after=job.run_after or 0)
        return bool(
            unchanged.filter(grabbed_until__lte=ServerTime()).update(
                grabbed_until=ServerTime() + lease.seconds[job.funcid],
                grabs=F("grabs") % MOST_GRABS + 1,
                grabbed_by=lease.grabbed_by,
            )
        )

    def insert(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        """Insert the rows, and tell of each what the database made of it.

        Tells None of a row whose funcid and uniqkey are queued already; raises IntegrityError for
        any other conflict. Never breaks the caller's transaction.
        """
        return [self._insert_one(jobs, dict(zip(INSERTED, row, strict=True))) for row in rows]

    def _insert_one(self, jobs: "JobQuerySet", row: dict[str, Any]) -> "Inserted | None":
        sql, params = self._insert_sql(jobs, [list(row.values())])
        try:
            with transaction.atomic(using=jobs.db), connections[jobs.db].cursor() as cursor:
                cursor.execute(sql, params)
                jobid = row["jobid"] or cursor.lastrowid
        except IntegrityError:
            twin = jobs.filter(func_id=row["funcid"], uniqkey=row["uniqkey"])
            if row["uniqkey"] is None or not twin.exists():
                raise
            return None
        return self._read_back(jobs, jobid)

    @staticmethod
    def _read_back(jobs: "JobQuerySet", jobid: int) -> Inserted:
        sql = f"SELECT insert_time, run_after, dispatched_at FROM {jobs.table} WHERE jobid = %s"
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(sql, [jobid])
            return Inserted(jobid, *cursor.fetchone())

    def _insert_sql(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> tuple[str, list[Any]]:
        columns = ", ".join(map(connections[jobs.db].ops.quote_name, INSERTED))
        values = ", ".join(f"({self._placeholders(row)})" for row in rows)
        params = [value for row in rows for value in row if value is not None]
        return f"INSERT INTO {jobs.table} ({columns}) VALUES {values}", params

    def _placeholders(self, row: Row) -> str:
        pairs = zip(INSERTED, row, strict=True)
        return ", ".join(self._placeholder(column, value) for column, value in pairs)

    def _placeholder(self, column: str, value: object) -> str:
        if value is None:
            return {
                "jobid": self.next_jobid,
                "insert_time": self.now,
                "run_after": self.now,
                "dispatched_at": self.now_us,
            }.get(column, "NULL")
        if isinstance(value, Later):
            return self.later_us if column == "scheduled_for" else self.later_seconds
        return "%s"

    @property
    def later_us(self) -> str:
        """SQL of a moment that many microseconds, its parameter, after the server's time."""
        return f"{self.now_us} + %s"

    @property
    def later_seconds(self) -> str:
        """SQL of the same moment in UNIX seconds, rounded up."""
        return f"({self.later_us} + 999999) {self.divide} 1000000"

    def is_unavailable(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        """Whether the database cannot serve the queue now, rather than a statement being wrong."""
        return isinstance(error, OperationalError | InterfaceError) and not connection.is_usable()

    def is_passing(self, error: Error) -> bool:
        """Whether the statement may well succeed when tried again: a deadlock, a lock timeout."""
        return False
