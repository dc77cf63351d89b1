"""One ear: how a worker hears from one database that something was dispatched."""

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Ear:
    """The ear of a database that tells nothing: it is polled."""

    #: Whether the database tells now of every dispatch.
    is_hearing = False
    #: Seconds until this ear must look for itself; None where its socket becomes readable.
    look_seconds: float | None = None

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def fileno(self) -> int | None:
        """What becomes readable when there is something to hear."""
        return None

    def listen(self) -> bool:
        """Want to hear. Whether that is news, so that what came before has to be polled for."""
        return False

    def hush(self) -> None:
        """Want to hear nothing."""

    def has_heard(self) -> bool:
        """Whether something was dispatched since the last look."""
        return False

    def close(self) -> None:
        """Give back what is held open."""


def connection_of_its_own(alias: str) -> BaseDatabaseWrapper:
    """A connection to the same database that nobody else uses, out of no pool."""
    own: BaseDatabaseWrapper = connections[alias].copy()
    own.settings_dict.setdefault("OPTIONS", {}).pop("pool", None)
    return own
