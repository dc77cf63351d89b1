"""PostgreSQL."""

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects.one_statement import OneStatement


class PostgreSQL(OneStatement):
    # Not now(): that is when the transaction began. Not clock_timestamp(): it changes from row to
    # row.
    now = "floor(extract(epoch FROM statement_timestamp()))::bigint"
    now_us = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    next_jobid = "DEFAULT"

    #: SQLSTATEs, and beginnings of them: connection trouble, no such login, database or table, too
    #: many connections, read-only, shutting down.
    UNAVAILABLE = ("08", "28", "3D000", "42P01", "53300", "25006", "57P")
    #: Serialization failure, deadlock, lock not available.
    DEADLOCK = ("40001", "40P01")
    PASSING = (*DEADLOCK, "55P03")

    @staticmethod
    def _among(chosen: str) -> str:
        # An array is made once, before the UPDATE looks at a row; a subquery under IN may be joined
        # instead.
        return f"= ANY (ARRAY({chosen} FOR UPDATE SKIP LOCKED))"

    def is_unavailable(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        if state := _sqlstate(error):
            return state.startswith(self.UNAVAILABLE)
        return super().is_unavailable(connection, error)

    def is_deadlock(self, error: Error) -> bool:
        return _sqlstate(error) in self.DEADLOCK

    def is_passing(self, error: Error) -> bool:
        return _sqlstate(error) in self.PASSING


def _sqlstate(error: Error) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
