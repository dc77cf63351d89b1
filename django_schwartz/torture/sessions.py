"""Sessions at a database server: what one is called, and how it is cut."""

from collections.abc import Collection

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

#: SQL of a table of the server's sessions, of what each is called there, and of ours. PostgreSQL
#: numbers them by their processes, whose numbers come again.
TABLE = {"postgresql": "pg_stat_activity", "mysql": "information_schema.processlist"}
NAME = {
    "postgresql": "concat(pid, '/', extract(epoch FROM backend_start))",
    "mysql": "concat(id)",
}
IS_OURS = {"postgresql": "pid = pg_backend_pid()", "mysql": "id = connection_id()"}


def name_of_session(connection: BaseDatabaseWrapper) -> str | None:
    """What the server calls this connection, and no other ever.

    None where there is no server, or a pooler is between, which lends its sessions to others too.
    """
    vendor = connection.vendor
    if vendor not in TABLE:
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {NAME[vendor]} FROM {TABLE[vendor]} WHERE {IS_OURS[vendor]}")
        name = str(cursor.fetchone()[0])
    return None if _is_lent(name, connection) else name


def _is_lent(name: str, connection: BaseDatabaseWrapper) -> bool:
    """Whether the session is not the one that greeted the driver. Told of PostgreSQL's alone."""
    if connection.vendor != "postgresql":
        return False
    greeted_by: int = connection.connection.info.backend_pid
    return int(name.partition("/")[0]) != greeted_by


def living(alias: str, names: Collection[str]) -> list[str]:
    """Which of these sessions are still there, without this one."""
    vendor = connections[alias].vendor
    if vendor not in TABLE:
        return []
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {NAME[vendor]} FROM {TABLE[vendor]} WHERE NOT {IS_OURS[vendor]}")
        return [name for (name,) in cursor.fetchall() if name in names]


def cut(alias: str, name: str) -> None:
    """End a session, whatever it does."""
    vendor = connections[alias].vendor
    with connections[alias].cursor() as cursor:
        if vendor == "postgresql":
            which = f"{TABLE[vendor]} WHERE {NAME[vendor]} = %s"
            cursor.execute(f"SELECT pg_terminate_backend(pid) FROM {which}", [name])
        else:
            cursor.execute("KILL %s", [int(name)])
