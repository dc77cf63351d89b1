"""Sessions at a database server: which one a connection is, and how one is cut."""

from collections.abc import Collection
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


def number_of_session(connection: BaseDatabaseWrapper) -> int | None:
    """What the server calls this connection; None where there is no server."""
    raw: Any = connection.connection
    if connection.vendor == "postgresql":
        info = getattr(raw, "info", None)
        return int(info.backend_pid if info else raw.get_backend_pid())
    return int(raw.thread_id()) if connection.vendor == "mysql" else None


def living(alias: str, numbers: Collection[int]) -> list[int]:
    """Which of these sessions are still there, without this one."""
    queries = {
        "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        "mysql": "SELECT id FROM information_schema.processlist WHERE id <> connection_id()",
    }
    query = queries.get(connections[alias].vendor)
    if query is None:
        return []
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        return [number for (number,) in cursor.fetchall() if number in numbers]


def cut(alias: str, number: int) -> None:
    """End a session, whatever it does."""
    kills = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
    with connections[alias].cursor() as cursor:
        cursor.execute(kills[connections[alias].vendor], [number])
