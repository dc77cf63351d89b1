"""What every database can do: `Dialect`, which the others are children of.

The SQL here goes through parameter formatting: a percent sign of its own is doubled.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

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
from django.db.models import Case, F, Value, When

from django_schwartz.exceptions import UnseenRow
from django_schwartz.transactions import may_be_rolled_back

if TYPE_CHECKING:
    from django_schwartz.models import ExitStatusQuerySet, Job, JobQuerySet, Settlement

#: What an insert gives a value; the database has defaults for the other columns.
INSERTED = (
    "jobid",
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
    "funcid",
)
#: Where these are in a row.
FUNCID, UNIQKEY = INSERTED.index("funcid"), INSERTED.index("uniqkey")
#: The table of the worker processes, and SQL for whether one of them waits to be told of new jobs.
SCOREBOARD = "django_schwartz_workerprocess"
IDLE_WORKER = f"EXISTS (SELECT 1 FROM {SCOREBOARD} WHERE is_idle)"
#: The dialect of each vendor.
DIALECTS: "dict[str, Dialect]" = {}
#: The most that the column `grabs` holds.
MOST_GRABS = 2**31 - 1
#: Looks at the queue for one grab, when others were faster with every candidate.
LOOKS = 10
#: What a holder's id ends with when the lease before its own ended with no outcome.
LAPSED = "~"
#: Times that something is done which loses its deadlocks.
ATTEMPTS = 5
#: Seconds, at most, before it is done again.
PAUSE = 0.05
#: One row of an insert: a value for each of INSERTED; None where the database is to give it, Later
#: for its time.
Row = Sequence[Any]


T = TypeVar("T")


class Later(int):
    """That many microseconds after the server's time."""


def dialect_of(connection: BaseDatabaseWrapper) -> "Dialect":
    return DIALECTS[connection.vendor]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """For whom jobs are grabbed, and for how many seconds by funcid.

    `number` tells the holder's grabs apart.
    """

    number: int = 0
    grabbed_by: str
    seconds: Mapping[int, int]

    @property
    def holders(self) -> list[str]:
        """What a grab writes as the holder: of a job whose lease had lapsed, and of another."""
        return [self.grabbed_by + LAPSED, self.grabbed_by]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The due jobs of one function that have one priority, from one of them on.

    `since` is that one's run_after and jobid; `share` is how many one grab takes at most.
    """

    funcid: int
    priority: int
    since: tuple[int, int]
    share: int = 1


class Inserted(NamedTuple):
    """What the database made of an inserted job: its id, and its times in the columns' units."""

    jobid: int
    insert_time: int
    run_after: int
    dispatched_at: int
    #: Whether a worker is to be told after the commit, as far as was seen before it.
    has_seen_idle: bool = False


@dataclass(frozen=True)
class Doubt:
    """A warning about a database's settings, and what to do about it."""

    id: str
    message: str
    hint: str


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
    now: ClassVar[str]
    #: SQL of the same in microseconds.
    now_us: ClassVar[str]
    #: The operator that divides whole numbers and rounds down.
    divide: ClassVar[str] = "DIV"
    #: What an insert writes for a jobid that the database is to give.
    next_jobid: ClassVar[str] = "NULL"
    #: What the statement of an insert ends with.
    insert_end: ClassVar[str] = ""
    #: Whether a transaction in which a statement failed takes no other.
    is_spoilt_by_failure: ClassVar[bool] = False
    #: Whether an open transaction keeps all others from writing.
    has_one_writer: ClassVar[bool] = False

    #: Whether insert_plain() is there, and quicker than insert().
    has_plain_insert: ClassVar[bool] = False
    #: Whether connections lead to a server, and so may wait for it in vain.
    is_server: ClassVar[bool] = False
    #: Options of a connection that end its waiting for a database that hangs.
    deadlines: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        #: Called between the SELECT of the candidates and the UPDATE that takes one: for tests, to
        #: open the race.
        self.after_select: Callable[[], object] = lambda: None
        self._into: dict[type[models.Model], str] = {}

    def grab(self, candidates: "JobQuerySet", lease: Lease, *, limit: int) -> "list[Job]":
        """Lease up to `limit` of the candidates, in their order.

        A job that somebody took or touched since it was read is passed over. The whole of its state
        is compared, so that one grabbed and released with a delay in between is not mistaken for
        free.
        """
        for _ in range(LOOKS):
            read = list(self.in_turn(candidates.defer("arg", "meta"), lease))
            if not read:
                break
            if grabbed := self._take_of(read, lease, limit):
                return grabbed
        return []

    def in_turn(self, candidates: "JobQuerySet", lease: Lease) -> "Iterable[Job]":
        """The candidates in their order, as the database reads them best."""
        return candidates

    def _take_of(self, read: "list[Job]", lease: Lease, limit: int) -> "list[Job]":
        self.after_select()
        grabbed: list[Job] = []
        for job in read:
            if len(grabbed) < limit and self._take(job, lease):
                held = job.as_grabbed(lease.holders)
                grabbed += [held] if held else []
        return grabbed

    @staticmethod
    def _take(job: "Job", lease: Lease) -> bool:
        unchanged = job.as_read().filter(run_after=job.run_after or 0)
        is_lapsing = When(
            grabbed_until__gt=0,
            grabbed_until__lte=ServerTime(),
            grabbed_by__isnull=False,
            then=Value(lease.grabbed_by + LAPSED),
        )
        return bool(
            unchanged.update(
                # First: MySQL sets one column after the other.
                grabbed_by=Case(is_lapsing, default=Value(lease.grabbed_by)),
                grabbed_until=ServerTime() + lease.seconds[job.funcid],
                grabs=F("grabs") % MOST_GRABS + 1,
                grabbed_at=ServerMicroseconds(),
            )
        )

    def find_levels(
        self, jobs: "JobQuerySet", funcids: Sequence[int], *, floor: int
    ) -> list[Level] | None:
        """The levels of these functions that have due jobs; None from a database that is too slow.

        `floor` is the lowest priority that counts.
        """
        return None

    def grab_levels(
        self, jobs: "JobQuerySet", levels: Sequence[Level], lease: Lease, *, limit: int
    ) -> "list[Job]":
        """Lease up to `limit` due jobs, of each level no more than its share, in their order."""
        raise NotImplementedError

    def leave(
        self,
        jobs: "JobQuerySet",
        statuses: "ExitStatusQuerySet",
        settlements: "Sequence[Settlement]",
    ) -> set[int]:
        """Take those jobs from the queue that are still held, and store their exit statuses.

        Tells which were. One transaction.
        """
        with transaction.atomic(using=jobs.db):
            gone = self._delete(jobs, [job for job, _ in settlements])
            statuses.record_all(entry for entry in settlements if entry[0].jobid in gone)
        return gone

    def _delete(self, jobs: "JobQuerySet", held: "Sequence[Job]") -> set[int]:
        gone = set(jobs.held(held).select_for_update().values_list("pk", flat=True))
        jobs.filter(pk__in=gone)._raw_delete(jobs.db)
        return gone

    def insert(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        """Insert the rows, and tell of each what the database made of it.

        Tells None of a row whose funcid and uniqkey are queued already; raises IntegrityError for
        any other conflict. Never breaks the caller's transaction.
        """
        return [self._insert_one(jobs, dict(zip(INSERTED, row, strict=True))) for row in rows]

    def insert_plain(
        self, connection: BaseDatabaseWrapper, table: str, funcid: int, arg: bytes | None
    ) -> tuple[int, bool]:
        """Insert a job that is no more than this, outside transactions.

        Tells its jobid and has_seen_idle, see Inserted.
        """
        raise NotImplementedError

    def inserting(
        self, jobs: "JobQuerySet", rows: Sequence[Row]
    ) -> "AbstractContextManager[list[Inserted | None]]":
        """The same of many rows, which may not be there before the block ends that this begins."""
        return nullcontext(self.insert(jobs, rows))

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
        kinds = [tuple(map(type, row)) for row in rows]
        values = ", ".join([self._placeholders(row, self.now_us) for row in kinds])
        params = [value for row in rows for value in row if value is not None]
        return self._insert_text(self._into_columns(jobs), values), params

    @lru_cache(maxsize=16)  # noqa: B019 # there is one dialect of each vendor, for ever
    def _insert_text(self, into: str, values: str) -> str:
        """The statement, as the same object each time: by that a driver may know it again."""
        return f"INSERT INTO {into} VALUES {values}{self.insert_end}"

    def _into_columns(self, jobs: "JobQuerySet") -> str:
        if jobs.model not in self._into:
            quoted = map(connections[jobs.db].ops.quote_name, INSERTED)
            self._into[jobs.model] = f"{jobs.table} ({', '.join(quoted)})"
        return self._into[jobs.model]

    @lru_cache(maxsize=256)  # noqa: B019 # as above
    def _placeholders(self, kinds: tuple[type, ...], now_us: str) -> str:
        """The placeholders of a row whose values are of these types.

        `now_us` is the clock in force, which a test may have moved.
        """
        pairs = zip(INSERTED, kinds, strict=True)
        return f"({', '.join([self._placeholder(*pair) for pair in pairs])})"

    def _placeholder(self, column: str, kind: type) -> str:
        if kind is NoneType:
            return {
                "jobid": self.next_jobid,
                "insert_time": self.now,
                "run_after": self.now,
                "dispatched_at": self.now_us,
            }.get(column, "NULL")
        if kind is Later:
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

    def fileno(self, connection: BaseDatabaseWrapper) -> int | None:
        """The socket of a connection to a server; None while there is none."""
        try:
            return int(connection.connection.fileno())
        except Exception:  # noqa: BLE001 - each driver has its own for what is closed, or not there
            return None

    def is_in_transaction(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether the driver knows of an open transaction, by whatever it was begun."""
        return False

    def is_missing_table(self, error: Error) -> bool:
        """Whether the queue's tables are not there."""
        return False

    def is_unavailable(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        """Whether the database cannot serve the queue now, rather than a statement being wrong."""
        return isinstance(error, OperationalError | InterfaceError) and not connection.is_usable()

    def is_passing(self, error: Error) -> bool:
        """Whether the statement may well succeed when tried again: a deadlock, a lock timeout."""
        return False

    def is_deadlock(self, error: Error) -> bool:
        """Whether the statement gave way to another, and may be tried again at once."""
        return False

    def again(
        self, using: str, attempt: Callable[[], T], *, is_spent: Callable[[], bool] = lambda: False
    ) -> T:
        """What the attempt gives; one that loses a deadlock is made again, five times in all.

        So is one whose snapshot was too old. One that waited in vain for a lock is made again once:
        each wait may take a minute. In a transaction it is made once: what was rolled back is its
        owner's to repeat. `is_spent` tells whether an attempt took what another would lack: then it
        was the last.
        """
        waits = 0
        for _ in range(ATTEMPTS - 1):
            try:
                return attempt()
            except (OperationalError, UnseenRow) as error:
                if is_spent() or may_be_rolled_back(connections[using]):
                    raise
                if isinstance(error, OperationalError) and not self.is_deadlock(error):
                    waits += 1
                    if waits > 1 or not self.is_passing(error):
                        raise
            time.sleep(random.uniform(0, PAUSE))  # noqa: S311 - no secret
        return attempt()

    def doubts(self, connection: BaseDatabaseWrapper) -> "Iterable[Doubt]":
        """What of the database's settings a queue suffers from."""
        return ()

    def most_connections(self, connection: BaseDatabaseWrapper) -> float:
        """How many connections a process may have at a time, by the project's settings."""
        return math.inf
