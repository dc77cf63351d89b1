"""SQLite."""

import sqlite3

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects.one_statement import OneStatement


class SQLite(OneStatement):
    now = "CAST(strftime('%%s', 'now') AS INTEGER)"
    now_us = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

    #: Messages of errors that have no code of their own.
    UNAVAILABLE = ("no such table", "closed database")

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

    def is_passing(self, error: Error) -> bool:
        return _sqlite_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _sqlite_code(error: Error) -> int:
    extended: int = getattr(error.__cause__, "sqlite_errorcode", 0)
    return extended & 0xFF
