"""All SQL that differs by database: its clock, the grab, the insert, and what its errors mean.

`Dialect` is portable; a child overrides what its database does better. `dialect_of(connection)`
picks one.
"""

from django_schwartz.dialects.mysql import MySQL
from django_schwartz.dialects.portable import (
    DIALECTS,
    FUNCID,
    IDLE_WORKER,
    LAPSED,
    SCOREBOARD,
    UNIQKEY,
    Dialect,
    Doubt,
    Inserted,
    Later,
    Lease,
    Level,
    Row,
    ServerMicroseconds,
    ServerTime,
    ServerTimeIn,
    dialect_of,
)
from django_schwartz.dialects.postgresql import PostgreSQL
from django_schwartz.dialects.sqlite import SQLite

__all__ = [
    "DIALECTS",
    "FUNCID",
    "IDLE_WORKER",
    "LAPSED",
    "SCOREBOARD",
    "UNIQKEY",
    "Dialect",
    "Doubt",
    "Inserted",
    "Later",
    "Lease",
    "Level",
    "MySQL",
    "PostgreSQL",
    "Row",
    "SQLite",
    "ServerMicroseconds",
    "ServerTime",
    "ServerTimeIn",
    "dialect_of",
]

DIALECTS.update(sqlite=SQLite(), postgresql=PostgreSQL(), mysql=MySQL())
