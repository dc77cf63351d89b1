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

    def say_goodbye(self) -> None:
        """Say that this process will not hear any more."""

    def close(self) -> None:
        """Give back what is held open."""


def own_connection(alias: str, **options: object) -> BaseDatabaseWrapper:
    """A connection to the same database that nobody else uses, out of no pool, not open yet.

    The options are for the driver, where the settings do not say otherwise.
    """
    own: BaseDatabaseWrapper = connections[alias].copy()
    given = own.settings_dict.get("OPTIONS", {})
    own.settings_dict["OPTIONS"] = options | {key: given[key] for key in given if key != "pool"}
    own.inc_thread_sharing()
    return own


def connect(connection: BaseDatabaseWrapper) -> None:
    """Open it, each statement to be a transaction of its own."""
    with connection.wrap_database_errors:
        connection.connect()
    connection.set_autocommit(True)
