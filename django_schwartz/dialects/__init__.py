"""All SQL that differs by database: its clock, the grab, the insert, and what its errors mean.

`Dialect` is portable; a child overrides what its database does better. `dialect_of(connection)`
picks one.
"""

from django_schwartz.dialects.portable import (
    DIALECTS,
    INSERTED,
    Dialect,
    Inserted,
    Later,
    Lease,
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
    "INSERTED",
    "Dialect",
    "Inserted",
    "Later",
    "Lease",
    "PostgreSQL",
    "Row",
    "SQLite",
    "ServerMicroseconds",
    "ServerTime",
    "ServerTimeIn",
    "dialect_of",
]

DIALECTS.update(sqlite=SQLite(), postgresql=PostgreSQL(), mysql=Dialect())
