"""A statement that PostgreSQL parses and plans but once for each connection.

That takes it as long as to insert a job. Django has no statement prepared, since a pooler may give
the next one to another session. So it is done where the connection is known to have none between:
the server's process is then the one that greeted us.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.transactions import may_be_rolled_back

#: What a statement is to give back as its last column.
PID = "pg_backend_pid()"
#: SQLSTATE of a prepared statement that the session does not have, or no more.
NOT_PREPARED = "26000"

#: The driver's connections, of psycopg 3, that lead to one session; and those whose prepared
#: statements somebody had forgotten, of which psycopg does not know.
_direct: WeakSet[Any] = WeakSet()
_spoilt: WeakSet[Any] = WeakSet()
#: The cursor that each of Django's connections prepared with last, while it is not in use: it has
#: learned of the statement what a new one would have to.
_idle: WeakKeyDictionary[BaseDatabaseWrapper, Any] = WeakKeyDictionary()


def rows_of(
    connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Execute a statement whose last column is PID; give its rows without that."""
    connection.close_if_health_check_failed()
    if connection.connection in _direct and not connection.queries_logged:
        try:
            return _execute_prepared(connection, sql, params)
        except Error as error:
            if getattr(error.__cause__, "sqlstate", "") != NOT_PREPARED:
                raise
            _direct.discard(connection.connection)
            _spoilt.add(connection.connection)
            if may_be_rolled_back(connection):
                raise
    return _execute(connection, sql, params)


def _execute_prepared(
    connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]
) -> list[tuple[Any, ...]]:
    preparing = _preparing_cursor_of(connection)
    connection.make_cursor(preparing).execute(sql, params)  # cursor() would make another
    rows = preparing.fetchall()
    _idle[connection] = preparing
    return [row[:-1] for row in rows]


def _preparing_cursor_of(connection: BaseDatabaseWrapper) -> Any:
    # Taken, not looked at: what Django calls around a statement may dispatch as well.
    idle = _idle.pop(connection, None)
    if idle is not None and idle.connection is connection.connection:
        return idle
    return _preparing_cursor()(connection.connection)


def _execute(
    connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall()
    if rows:
        _learn(connection.connection, rows[0][-1])
    return [row[:-1] for row in rows]


def _learn(driver: Any, pid: int) -> None:
    is_psycopg3 = hasattr(driver, "prepare_threshold")
    if is_psycopg3 and driver not in _spoilt and driver.info.backend_pid == pid:
        _direct.add(driver)


@cache
def _preparing_cursor() -> type[Any]:
    from psycopg import Cursor

    class PreparingCursor(Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            # Nothing is prepared without a threshold. Django's own cursors keep theirs.
            driver = self.connection
            before, driver.prepare_threshold = driver.prepare_threshold, 0
            try:
                return super().execute(query, params, prepare=True, **options)
            finally:
                driver.prepare_threshold = before

    return PreparingCursor
