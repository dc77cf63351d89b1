"""Facts that hold only if their transaction commits."""

from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Certain:
    """A fact that nothing can roll back."""

    holds = True


CERTAIN = Certain()


class Tentative:
    """A fact written to a database: it holds until what wrote it is rolled back.

    Django tells of a commit and never of a rollback, but it drops the on_commit callbacks of
    whatever is rolled back, savepoints included: so a fact whose callback still waits still holds.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._connection = connections[using]
        self._is_committed = not may_be_rolled_back(self._connection)
        if not self._is_committed:
            # As on_commit() does, which refuses where autocommit is off.
            callback: Any = set(self._connection.savepoint_ids), self, True
            self._connection.run_on_commit.append(callback)

    def __call__(self) -> None:
        # captureOnCommitCallbacks() calls back in a transaction that a TestCase will roll back.
        self._is_committed = not may_be_rolled_back(self._connection)

    @property
    def holds(self) -> bool:
        """Whether the fact is committed, or written by this thread and not rolled back."""
        return self._is_committed or (
            self._connection is connections[self._using]
            and any(entry[1] is self for entry in self._connection.run_on_commit)
        )


def may_be_rolled_back(connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction is open: in atomic(), or since autocommit is off."""
    if connection.in_atomic_block:
        return True
    return connection.connection is not None and not connection.autocommit


def is_manual(connection: BaseDatabaseWrapper) -> bool:
    """Whether autocommit is off and no atomic() is open: Django tells of no commit then."""
    return not connection.in_atomic_block and may_be_rolled_back(connection)
