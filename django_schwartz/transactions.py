"""Facts that hold only if their transaction commits."""

from django.db import connections, transaction


class Tentative:
    """A fact written to a database: it holds until what wrote it is rolled back.

    Django tells of a commit and never of a rollback, but it drops the on_commit callbacks of
    whatever is rolled back, savepoints included: so a fact whose callback still waits still holds.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._connection = connections[using]
        self._is_committed = not self._connection.in_atomic_block
        if not self._is_committed:
            transaction.on_commit(self, using=using, robust=True)

    def __call__(self) -> None:
        # captureOnCommitCallbacks() calls back in a transaction that a TestCase will roll back.
        self._is_committed = not self._connection.in_atomic_block

    @property
    def holds(self) -> bool:
        """Whether the fact is committed, or written by this thread and not rolled back."""
        return self._is_committed or (
            self._connection is connections[self._using]
            and any(entry[1] is self for entry in self._connection.run_on_commit)
        )
