"""PostgreSQL."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import Error, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects.bulk import Bulk
from django_schwartz.dialects.one_statement import OneStatement, in_order_of
from django_schwartz.dialects.portable import IDLE_WORKER, Inserted, Lease, Level, Row
from django_schwartz.dialects.preparing import PID, rows_of

if TYPE_CHECKING:
    from django_schwartz.models import ExitStatusQuerySet, Job, JobQuerySet, Settlement

#: Connections of psycopg's pool where the settings do not say how many.
POOLED = 4
#: Rows that one statement inserts as quickly as two.
FEW = 10
#: What an exit status has of the attempt.
LEFT = "started_at, completed_at, runtime, worker_id, result"
#: What an exit status keeps of the row that leaves the queue.
KEPT = (
    "arg, uniqkey, coalesce, priority, queue_name, insert_time, run_after, dispatched_at,"
    " scheduled_for, grabbed_at, meta"
)


class PostgreSQL(OneStatement):
    # Not now(): that is when the transaction began. Not clock_timestamp(): it changes from row to
    # row. Not extract(): its decimal takes longer to reckon with, for each row that is compared.
    now = "floor(date_part('epoch', statement_timestamp()))::bigint"
    now_us = "(date_part('epoch', statement_timestamp()) * 1000000)::bigint"
    next_jobid = "DEFAULT"
    is_server = True
    deadlines: ClassVar = {"connect_timeout": 10, "tcp_user_timeout": 30_000}  # s, ms
    given_funcids = "unnest(%s::bigint[]) AS given(funcid)"
    #: SQL of whether a worker is to be told, see Inserted. Under another isolation than that the
    #: snapshot is the transaction's, and may be old.
    seen = f", current_setting('transaction_isolation') <> 'read committed' OR {IDLE_WORKER}"
    insert_end = f"{OneStatement.insert_end}{seen}, {PID}"
    is_spoilt_by_failure = True
    has_plain_insert = True

    NO_TABLE = "42P01"
    #: SQLSTATEs, and beginnings of them: connection trouble, no such login, database or table, a
    #: full disk, too many connections, read-only, shutting down.
    UNAVAILABLE = ("08", "28", "3D000", NO_TABLE, "53100", "53300", "25006", "57P")
    #: Of libpq's transaction statuses, those of an open one, and of one that failed.
    IN_TRANSACTION = (2, 3)
    #: Serialization failure, deadlock, lock not available.
    DEADLOCK = ("40001", "40P01")
    PASSING = (*DEADLOCK, "55P03")

    def most_connections(self, connection: BaseDatabaseWrapper) -> float:
        pool = connection.settings_dict.get("OPTIONS", {}).get("pool")
        if not pool:
            return math.inf
        given = pool if isinstance(pool, dict) else {}
        return int(given.get("max_size") or given.get("min_size", POOLED))

    @staticmethod
    def _among(chosen: str) -> str:
        # An array is made once, before the UPDATE looks at a row; a subquery under IN may be joined
        # instead.
        return f"= ANY (ARRAY({chosen} FOR UPDATE SKIP LOCKED))"

    def grab_levels(
        self, jobs: "JobQuerySet", levels: Sequence[Level], lease: Lease, *, limit: int
    ) -> "list[Job]":
        # No ORDER BY of its own: the levels are gone through in their order, and only as many as
        # it takes are locked.
        among = f"""= ANY (ARRAY(
            SELECT chosen.jobid
            FROM unnest(%s::bigint[], %s::int[], %s::bigint[], %s::bigint[], %s::int[])
                AS level(funcid, priority, since, jobid, share)
            CROSS JOIN LATERAL (
                SELECT job.jobid FROM {jobs.table} AS job
                WHERE {self._is_due("level")} AND {self.has_come}
                ORDER BY job.run_after, job.jobid LIMIT level.share FOR UPDATE SKIP LOCKED
            ) AS chosen LIMIT %s))"""
        arrays = _arrays((x.funcid, x.priority, *x.since, x.share) for x in levels)
        return self._grab(jobs, lease, among, [*arrays, limit])

    def _delete(self, jobs: "JobQuerySet", held: "Sequence[Job]") -> set[int]:
        # The limit is how many there are: the planner would take it for ten in each group.
        # Mostly all are gone, and then none is named.
        sql = f"""
            WITH gone AS (
                DELETE FROM {jobs.table} AS job USING (
                    SELECT unnest(jobids::bigint[]) AS jobid, grabs, lease, renewed
                    FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[])
                        AS alike(jobids, grabs, lease, renewed)
                    LIMIT %s
                ) AS held WHERE {_is_still("held")} RETURNING job.jobid
            ) SELECT array_agg(jobid) FROM gone HAVING count(*) < %s"""
        alike = jobs.alike(held)
        groups = [
            (_array(jobids), grabs, leases[0], leases[-1])
            for (grabs, leases), jobids in alike.items()
        ]
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(sql, [*_columns(groups), len(held), len(held)])
            row = cursor.fetchone()
        return set(chain(*alike.values())) if row is None else set(row[0] or ())

    def _leave_and_keep(
        self,
        jobs: "JobQuerySet",
        statuses: "ExitStatusQuerySet",
        settlements: "Sequence[Settlement]",
    ) -> set[int]:
        sql = f"""
            WITH leaving AS (
                SELECT * FROM unnest(
                    %s::bigint[], %s::int[], %s::bigint[], %s::bigint[], %s::int[],
                    %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::text[],
                    %s::jsonb[]
                ) AS leaving(
                    jobid, grabs, lease, renewed, status, keep_for, started_at, completed_at,
                    runtime, worker_id, result
                )
            ), gone AS (
                DELETE FROM {jobs.table} AS job USING leaving
                WHERE {_is_still("leaving")} RETURNING job.*
            ), kept AS (
                INSERT INTO {statuses.table} AS status (
                    jobid, funcid, status, completion_time, delete_after, {LEFT}, {KEPT}
                )
                SELECT gone.jobid, gone.funcid, leaving.status, {self.now},
                    {self.now} + leaving.keep_for, {_of("leaving", LEFT)}, {_of("gone", KEPT)}
                FROM gone JOIN leaving ON leaving.jobid = gone.jobid WHERE leaving.keep_for > 0
                ON CONFLICT (jobid) DO UPDATE SET (
                    funcid, status, completion_time, delete_after, {LEFT}, {KEPT}
                ) = ROW (
                    EXCLUDED.funcid, EXCLUDED.status, EXCLUDED.completion_time,
                    EXCLUDED.delete_after, {_of("EXCLUDED", LEFT)}, {_of("EXCLUDED", KEPT)}
                )
            )
            SELECT jobid FROM gone"""
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(sql, _columns(_leaving_rows(settlements)))
            return {row[0] for row in cursor.fetchall()}

    def insert(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        return self.again(jobs.db, partial(self._insert, jobs, rows))

    def insert_plain(
        self, connection: BaseDatabaseWrapper, table: str, funcid: int, arg: bytes | None
    ) -> tuple[int, bool]:
        sql = self._plain_insert(connection.ops.quote_name(table), self.now_us)
        insert = partial(rows_of, connection, sql, [funcid, arg])
        [(jobid, has_seen_idle)] = self.again(connection.alias, insert)
        return jobid, has_seen_idle

    @lru_cache(maxsize=4)  # noqa: B019 # there is one dialect of each vendor, for ever
    def _plain_insert(self, table: str, now_us: str) -> str:
        """The statement; `now_us` is the clock in force, which a test may have moved.

        Nothing conflicts with a job without uniqkey, and a snapshot is the statement's own here.
        """
        return (
            f"INSERT INTO {table} (funcid, arg, insert_time, run_after, grabbed_until, priority,"
            f" dispatched_at) VALUES (%s, %s, {self.now}, {self.now}, 0, 0, {now_us})"
            f" RETURNING jobid, {IDLE_WORKER}, {PID}"
        )

    def inserting(
        self, jobs: "JobQuerySet", rows: Sequence[Row]
    ) -> "AbstractContextManager[list[Inserted | None]]":
        if len(rows) <= FEW:
            return super().inserting(jobs, rows)
        return Bulk(jobs, now=self.now, now_us=self.now_us, seen=self.seen).inserting(rows)

    def _insert(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        sql, params = self._insert_sql(jobs, rows)
        return in_order_of(rows, rows_of(connections[jobs.db], sql, params))

    def is_unavailable(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        if state := _sqlstate(error):
            return state.startswith(self.UNAVAILABLE)
        # What the server did not say, psycopg 3 did: that the connection is lost. By now Django may
        # have made another, which is usable.
        if isinstance(error, OperationalError) and hasattr(error.__cause__, "sqlstate"):
            return True
        return super().is_unavailable(connection, error)

    def is_in_transaction(self, connection: BaseDatabaseWrapper) -> bool:
        driver = connection.connection
        try:
            status = driver.pgconn.transaction_status
        except AttributeError:
            status = driver.get_transaction_status()  # psycopg 2
        return status in self.IN_TRANSACTION

    def is_missing_table(self, error: Error) -> bool:
        return _sqlstate(error) == self.NO_TABLE

    def is_deadlock(self, error: Error) -> bool:
        return _sqlstate(error) in self.DEADLOCK

    def is_passing(self, error: Error) -> bool:
        return _sqlstate(error) in self.PASSING


def _of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _arrays(rows: Iterable[tuple[int, ...]]) -> list[str]:
    """The columns of rows of numbers as arrays' text."""
    return [_array(column) for column in zip(*rows, strict=True)]


def _array(numbers: Iterable[int]) -> str:
    """An array's text, which psycopg takes longer to make."""
    return f"{{{','.join(map(str, numbers))}}}"


def _is_still(held: str) -> str:
    """SQL of a job that is held as it was. A renewal may commit while this waits for its lock.

    So both leases are in one row: the job, read anew then, is compared with that row alone.
    """
    return (
        f"job.jobid = {held}.jobid AND job.grabs = {held}.grabs"
        f" AND job.grabbed_until IN ({held}.lease, {held}.renewed)"
    )


def _leaving_rows(settlements: "Sequence[Settlement]") -> Iterator[tuple[Any, ...]]:
    for job, outcome in settlements:
        leases = job.leases
        yield (
            *(job.jobid, job.grabs, leases[0], leases[-1]),
            *(outcome.exit_status, outcome.keep_for),
            *(job.began_at, job.ended_at, job.runtime, job.grabbed_by, job.result_as_json),
        )


def _sqlstate(error: Error) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
