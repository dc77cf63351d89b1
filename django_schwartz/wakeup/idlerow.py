"""What this process's row in the scoreboard says to dispatchers: whether it waits for jobs."""

import os
import socket

from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects import SCOREBOARD, dialect_of
from django_schwartz.identity import process_name

SAY_IDLE = (
    f"INSERT INTO {SCOREBOARD} (name, host, pid, beat_at, is_idle)"  # noqa: S608
    " VALUES (%s, %s, %s, {now}, true)"
    f" ON CONFLICT (name) DO UPDATE SET is_idle = true WHERE NOT {SCOREBOARD}.is_idle"
)
SAY_BUSY = f"UPDATE {SCOREBOARD} SET is_idle = false WHERE name = %s"  # noqa: S608


def say_idle(connection: BaseDatabaseWrapper) -> bool:
    """Have the row say "idle". Whether it did not."""
    with connection.cursor() as cursor:
        cursor.execute(
            SAY_IDLE.format(now=dialect_of(connection).now),
            [process_name(), socket.gethostname(), os.getpid()],
        )
        return bool(cursor.rowcount)


def say_busy(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SAY_BUSY, [process_name()])
