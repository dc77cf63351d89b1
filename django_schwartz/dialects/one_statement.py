"""A database that gives back what it wrote."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import connections

from django_schwartz.dialects.portable import (
    FUNCID,
    MOST_GRABS,
    UNIQKEY,
    Dialect,
    Inserted,
    Lease,
    Level,
    Row,
)

if TYPE_CHECKING:
    from django_schwartz.models import ExitStatusQuerySet, Job, JobQuerySet, Settlement

#: How a job's priority counts, in the words of the index on it.
PRIORITY = "COALESCE(job.priority, 0)"


#: Less than any priority, those included that SQLite keeps though the column has no room for them.
LEAST_PRIORITY = -(2**62)

#: After the last number that fits the column comes the first again.
NEXT_GRAB = f"grabs %% {MOST_GRABS} + 1"


class OneStatement(Dialect):
    """One statement grabs a batch, one inserts one, and one finds what is due."""

    divide = "/"
    #: SQL of a table `given` of the funcids that are its parameter.
    given_funcids: ClassVar[str]
    insert_end = (
        " ON CONFLICT (funcid, uniqkey) DO NOTHING"
        " RETURNING funcid, uniqkey, jobid, insert_time, run_after, dispatched_at"
    )

    def grab(self, candidates: "JobQuerySet", lease: Lease, *, limit: int) -> "list[Job]":
        query = candidates[:limit].values("pk").query
        chosen, params = query.get_compiler(using=candidates.db).as_sql()
        return self._grab(candidates, lease, self._among(chosen), params)

    def _grab(
        self, jobs: "JobQuerySet", lease: Lease, among: str, params: Sequence[Any]
    ) -> "list[Job]":
        seconds, numbers = _seconds_of(lease)
        sql = (
            f"UPDATE {jobs.table} SET grabs = {NEXT_GRAB}, grabbed_at = {self.now_us},"
            f" grabbed_by = CASE WHEN grabbed_until > 0 AND grabbed_until <= {self.now}"
            f" AND grabbed_by IS NOT NULL THEN %s ELSE %s END,"
            f" grabbed_until = {self.now} + {seconds}"
            f" WHERE jobid {among} RETURNING {self._read(jobs)}"
        )
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(sql, [*lease.holders, *numbers, *params])
            return jobs.from_rows(cursor)

    @staticmethod
    def _read(candidates: "JobQuerySet") -> str:
        """SQL of a job's columns, as its fields are selected."""
        compiler = candidates.query.get_compiler(using=candidates.db)
        quote = compiler.connection.ops.quote_name
        columns = [
            (field, quote(str(field.column))) for field in candidates.model._meta.concrete_fields
        ]
        return ", ".join(
            f"{field.select_format(compiler, column, ())[0]} AS {column}"
            for field, column in columns
        )

    @staticmethod
    def _among(chosen: str) -> str:
        return f"IN ({chosen})"

    def find_levels(
        self, jobs: "JobQuerySet", funcids: Sequence[int], *, floor: int
    ) -> list[Level]:
        next_one = f"{PRIORITY} < level.priority"
        sql = f"""
            WITH RECURSIVE level(funcid, priority) AS (
                SELECT given.funcid, ({self._highest(jobs, "given")}) FROM {self.given_funcids}
                UNION ALL
                SELECT level.funcid, ({self._highest(jobs, "level", next_one)})
                FROM level WHERE level.priority IS NOT NULL
            ), head AS MATERIALIZED (
                SELECT level.funcid, level.priority, (
                    SELECT job.jobid FROM {jobs.table} AS job
                    WHERE {self._is_due("level")} ORDER BY job.run_after, job.jobid LIMIT 1
                ) AS jobid FROM level WHERE level.priority >= %s
            )
            SELECT head.funcid, head.priority, (
                SELECT job.run_after FROM {jobs.table} AS job WHERE job.jobid = head.jobid
            ), head.jobid
            FROM head WHERE head.jobid IS NOT NULL ORDER BY head.priority DESC"""
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(sql, [self._given(funcids), floor or LEAST_PRIORITY])
            rows = cursor.fetchall()
        return [Level(funcid=row[0], priority=row[1], since=(row[2], row[3])) for row in rows]

    @staticmethod
    def _highest(jobs: "JobQuerySet", of: str, where: str = "TRUE") -> str:
        """SQL of the highest priority that a job has: found in the index, however many have it."""
        return (
            f"SELECT {PRIORITY} FROM {jobs.table} AS job"
            f" WHERE job.funcid = {of}.funcid AND {where} ORDER BY {PRIORITY} DESC LIMIT 1"
        )

    #: SQL of a job that comes no sooner than its level begins. With run_after compared once more
    #: PostgreSQL sees that few jobs are meant, and reads the index on priorities.
    has_come = (
        "job.run_after >= level.since AND (job.run_after, job.jobid) >= (level.since, level.jobid)"
    )

    def _is_due(self, level: str) -> str:
        return (
            f"job.funcid = {level}.funcid AND {PRIORITY} = {level}.priority"
            f" AND job.run_after <= {self.now} AND job.grabbed_until <= {self.now}"
        )

    @staticmethod
    def _given(funcids: Sequence[int]) -> Any:
        return list(funcids)

    def leave(
        self,
        jobs: "JobQuerySet",
        statuses: "ExitStatusQuerySet",
        settlements: "Sequence[Settlement]",
    ) -> set[int]:
        if any(outcome.keep_for > 0 for _, outcome in settlements):
            return self._leave_and_keep(jobs, statuses, settlements)
        return self._delete(jobs, [job for job, _ in settlements])

    def _leave_and_keep(
        self,
        jobs: "JobQuerySet",
        statuses: "ExitStatusQuerySet",
        settlements: "Sequence[Settlement]",
    ) -> set[int]:
        return super().leave(jobs, statuses, settlements)

    def _delete(self, jobs: "JobQuerySet", held: "Sequence[Job]") -> set[int]:
        leases = [(job.jobid, job.grabs, lease) for job in held for lease in job.leases]
        sql = (
            f"DELETE FROM {jobs.table} WHERE jobid IN ({', '.join(['%s'] * len(leases))})"
            f" AND (jobid, grabs, grabbed_until) IN"
            f" (VALUES {', '.join(['(%s, %s, %s)'] * len(leases))}) RETURNING jobid"
        )
        params = [lease[0] for lease in leases] + [number for lease in leases for number in lease]
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(sql, params)
            return {row[0] for row in cursor.fetchall()}

    def insert(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        sql, params = self._insert_sql(jobs, rows)
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(sql, params)
            return in_order_of(rows, cursor.fetchall())


def in_order_of(rows: Sequence[Row], returned: Sequence[Row]) -> list[Inserted | None]:
    """Match what came back to what was inserted: by uniqkey where there is one, else by turn."""
    keyed = {tuple(row[:2]): Inserted(*row[2:]) for row in returned if row[1] is not None}
    unkeyed = iter([Inserted(*row[2:]) for row in returned if row[1] is None])
    return [
        next(unkeyed) if row[UNIQKEY] is None else keyed.pop((row[FUNCID], row[UNIQKEY]), None)
        for row in rows
    ]


def _seconds_of(lease: Lease) -> tuple[str, list[int]]:
    """SQL of the seconds that a grab leases a job for, and its parameters."""
    lengths = set(lease.seconds.values())
    if len(lengths) == 1:
        return "%s", [*lengths]
    cases = " ".join(["WHEN %s THEN %s"] * len(lease.seconds))
    return f"CASE funcid {cases} END", [n for pair in lease.seconds.items() for n in pair]
