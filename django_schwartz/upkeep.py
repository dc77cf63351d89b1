"""The upkeep of the database connections of a thread that performs jobs."""

from collections.abc import Sequence
from threading import get_ident

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class Upkeep:
    """Of the connections of the thread that makes it; the queue's own are `kept`."""

    def __init__(self, kept: Sequence[str]) -> None:
        self._kept = kept
        self._thread = get_ident()
        # Not asked for at each turn, which takes longer than to perform a small job.
        self.opened = tuple(connections.all(initialized_only=True))
        connection_created.connect(self._note)

    def tend(self) -> None:
        """Close those that broke and, but for the queue's own, those past their CONN_MAX_AGE."""
        for connection in self.opened:
            is_kept = connection.alias in self._kept and not connection.errors_occurred
            if not is_kept and not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()

    def doubt(self) -> None:
        """Have the queue's own be checked before their next use, and made anew if they broke."""
        for connection in self.opened:
            if connection.alias in self._kept and not connection.in_atomic_block:
                connection.health_check_enabled = True  # type: ignore[attr-defined]
                connection.health_check_done = False  # type: ignore[attr-defined]

    def _note(self, connection: BaseDatabaseWrapper, **_: object) -> None:
        if get_ident() == self._thread and connection not in self.opened:
            self.opened += (connection,)  # another tuple: somebody may be going through this one
