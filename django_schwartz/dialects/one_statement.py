"""A database that gives back what it wrote."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import connections

from django_schwartz.dialects.portable import INSERTED, MOST_GRABS, Dialect, Inserted, Lease, Row

if TYPE_CHECKING:
    from django_schwartz.models import Job, JobQuerySet


#: After the last number that fits the column comes the first again.
NEXT_GRAB = f"grabs %% {MOST_GRABS} + 1"


class OneStatement(Dialect):
    """One statement grabs a batch, and one inserts one."""

    divide = "/"

    def grab(self, candidates: "JobQuerySet", lease: Lease, *, limit: int) -> "list[Job]":
        query = candidates[:limit].values("pk").query
        chosen, chosen_params = query.get_compiler(using=candidates.db).as_sql()
        cases = " ".join(["WHEN %s THEN %s"] * len(lease.seconds))
        numbers = [number for pair in lease.seconds.items() for number in pair]
        sql = (
            f"UPDATE {candidates.table} SET grabs = {NEXT_GRAB}, grabbed_by = %s,"
            f" grabbed_until = {self.now} + CASE funcid {cases} END"
            f" WHERE jobid {self._among(chosen)} RETURNING *, {self.now_us} AS grabbed_at"
        )
        return list(candidates.raw(sql, [lease.grabbed_by, *numbers, *chosen_params]))

    @staticmethod
    def _among(chosen: str) -> str:
        return f"IN ({chosen})"

    def insert(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        sql, params = self._insert_sql(jobs, rows)
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(
                f"{sql} ON CONFLICT (funcid, uniqkey) DO NOTHING"
                " RETURNING funcid, uniqkey, jobid, insert_time, run_after, dispatched_at",
                params,
            )
            return _in_order_of(rows, cursor.fetchall())


def _in_order_of(rows: Sequence[Row], returned: Sequence[Row]) -> list[Inserted | None]:
    """Match what came back to what was inserted: by uniqkey where there is one, else by turn."""
    keyed = {tuple(row[:2]): Inserted(*row[2:]) for row in returned if row[1] is not None}
    unkeyed = iter([Inserted(*row[2:]) for row in returned if row[1] is None])
    funcid, uniqkey = INSERTED.index("funcid"), INSERTED.index("uniqkey")
    return [
        next(unkeyed) if row[uniqkey] is None else keyed.pop((row[funcid], row[uniqkey]), None)
        for row in rows
    ]
