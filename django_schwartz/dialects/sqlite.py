"""SQLite."""

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects.one_statement import OneStatement
from django_schwartz.dialects.portable import Lease, Level

if TYPE_CHECKING:
    from django_schwartz.models import Job, JobQuerySet


class SQLite(OneStatement):
    has_one_writer = True
    now = "CAST(strftime('%%s', 'now') AS INTEGER)"
    now_us = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

    given_funcids = "(SELECT value AS funcid FROM json_each(%s)) AS given"

    NO_TABLE = "no such table"
    #: Messages of errors that have no code of their own.
    UNAVAILABLE = (NO_TABLE, "closed database")

    @staticmethod
    def _given(funcids: Sequence[int]) -> str:
        return json.dumps(list(funcids))

    def grab_levels(
        self, jobs: "JobQuerySet", levels: Sequence[Level], lease: Lease, *, limit: int
    ) -> "list[Job]":
        chosen = " UNION ALL ".join([self._of_one_level(jobs)] * len(levels))
        params = [
            number
            for level in levels
            for number in (level.funcid, level.priority, *level.since, level.share)
        ]
        return self._grab(jobs, lease, self._among(f"{chosen} LIMIT %s"), [*params, limit])

    def _of_one_level(self, jobs: "JobQuerySet") -> str:
        return (
            "SELECT jobid FROM (SELECT job.jobid"
            " FROM (SELECT %s AS funcid, %s AS priority, %s AS since, %s AS jobid) AS level"
            f" CROSS JOIN {jobs.table} AS job WHERE {self._is_due('level')}"
            f" AND {self.has_come} ORDER BY job.run_after, job.jobid LIMIT %s)"
        )

    def is_unavailable(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        has_message = any(message in str(error) for message in self.UNAVAILABLE)
        return has_message or _sqlite_code(error) in {
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_NOTADB,
        }

    def is_in_transaction(self, connection: BaseDatabaseWrapper) -> bool:
        try:
            return bool(connection.connection.in_transaction)
        except sqlite3.ProgrammingError:  # it was closed
            return False

    def is_missing_table(self, error: Error) -> bool:
        return self.NO_TABLE in str(error)

    def is_passing(self, error: Error) -> bool:
        return _sqlite_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _sqlite_code(error: Error) -> int:
    extended: int = getattr(error.__cause__, "sqlite_errorcode", 0)
    return extended & 0xFF
