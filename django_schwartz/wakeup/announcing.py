"""The dispatcher's end: telling idle workers, and telling nobody when there are none.

NOTIFY is a statement of its own after the commit, since within the transaction it would hold up
everybody's commits. And it is sent only while some worker's row says "idle". The order that loses
no wake-up: the worker says "idle" and commits that, LISTENs, polls; the dispatcher commits, looks
for such a row, and NOTIFYs. If the poll did not see the job, then the commit came after it, and so
the look finds the row.

That look would cost a statement, so the INSERT looks. But its snapshot is older than the commit: a
worker may say "idle" and poll in between, see no job, and be told nothing. Therefore it polls again
PATIENCE_SECONDS after it said so, and the INSERT's look counts only if less than that passed from
before the INSERT until after the commit: then that poll sees the job. No two clocks are compared.
What took longer is looked after once more.
"""

import logging
import time
from weakref import WeakKeyDictionary

from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects import IDLE_WORKER
from django_schwartz.transactions import is_manual

__all__ = ["CHANNEL", "PATIENCE_SECONDS", "announce", "announce_dispatch", "announce_release"]

logger = logging.getLogger("django_schwartz")

CHANNEL = "django_schwartz"
#: Seconds from before an INSERT until after its commit, within which a worker that said "idle"
#: meanwhile finds the job by itself.
PATIENCE_SECONDS = 0.2


def announce(alias: str) -> None:
    """Wake the idle workers, now that something is committed there. Never raises.

    One statement on PostgreSQL; nothing elsewhere, where workers see for themselves.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_notify('{CHANNEL}', '') WHERE {IDLE_WORKER}", [])
    except Error as error:
        logger.warning("idle workers in %r were not woken: %s", alias, error)


class Announcement:
    """What is to be told once the open transaction commits, however much it dispatched."""

    def __init__(self, alias: str, *, began: float) -> None:
        self.alias = alias
        self.began = began
        self.is_due = False
        self.is_made = False

    def __call__(self) -> None:
        if self.is_made:
            return
        self.is_made = True
        if self.is_due or time.monotonic() - self.began >= PATIENCE_SECONDS:
            announce(self.alias)


#: What the open, or the last, transaction of each connection has to tell.
_pending: WeakKeyDictionary[BaseDatabaseWrapper, Announcement] = WeakKeyDictionary()


def announce_dispatch(
    connection: BaseDatabaseWrapper, *, began: float, has_seen_idle: bool
) -> None:
    """Wake the idle workers after the commit, at once if that was.

    `began` is the monotonic time before the INSERT, `has_seen_idle` what that saw.
    """
    if connection.vendor != "postgresql" or is_manual(connection):
        return
    if not connection.in_atomic_block:
        if has_seen_idle or time.monotonic() - began >= PATIENCE_SECONDS:
            announce(connection.alias)
        return
    announcement = _pending.get(connection)
    if announcement is None or announcement.is_made:
        announcement = _pending[connection] = Announcement(connection.alias, began=began)
    announcement.is_due |= has_seen_idle
    transaction.on_commit(announcement, using=connection.alias, robust=True)


def announce_release(connection: BaseDatabaseWrapper) -> None:
    """The same for jobs that nobody holds any more: an idle worker asks anew when one is due."""
    announce_dispatch(connection, began=time.monotonic(), has_seen_idle=True)
