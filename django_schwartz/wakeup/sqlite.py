"""SQLite: a number changes whenever another connection commits."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.wakeup.ear import Ear, connect, own_connection
from django_schwartz.wakeup.inotify import FileWatch

logger = logging.getLogger("django_schwartz")

#: How long after a write (seconds) the number is looked at how often (seconds): a commit shows
#: some time after its writes.
PACES = ((0.05, 0.002), (0.5, 0.01))
#: Seconds between two looks afterwards, where the system tells of writes, and where it does not.
WATCHED_SECONDS = 0.2
UNWATCHED_SECONDS = 0.01
#: Seconds until a connection that failed is made again.
RETRY_SECONDS = 5


class SQLiteEar(Ear):
    """Watches PRAGMA data_version. What a commit was about is not to be seen: the worker polls."""

    def __init__(self, alias: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(alias)
        self._clock = clock
        self._connection: BaseDatabaseWrapper | None = None
        self._watch: FileWatch | None = None
        self._paths: list[Path] = []
        self._retry_at = self._written_at = clock()
        self._is_idle = False
        self._version = 0

    @property
    def is_hearing(self) -> bool:  # type: ignore[override]
        return self._connection is not None

    @property
    def look_seconds(self) -> float | None:  # type: ignore[override]
        if self._connection is None:
            return None
        since = self._clock() - self._written_at
        calm = WATCHED_SECONDS if self._watch else UNWATCHED_SECONDS
        return next((pace for until, pace in PACES if since < until), calm)

    def fileno(self) -> int | None:
        return self._watch.fileno() if self._watch else None

    def listen(self) -> bool:
        if self._connection is None and self._clock() >= self._retry_at:
            self._connect()
        is_news, self._is_idle = not self._is_idle, True
        if is_news:
            self._watch_files()
            self.has_heard()
        return False  # commits come one after the other, so the poll that follows misses none

    def hush(self) -> None:
        self._is_idle = False

    def has_heard(self) -> bool:
        if self._connection is None:
            return False
        if self._watch and self._watch.has_seen_writes():
            self._written_at = self._clock()
        try:
            version = self._read_version(self._connection)
        except Error:
            self.close()
            return True
        has_changed = version != self._version
        if has_changed:
            self._version, self._written_at = version, self._clock()
        return has_changed

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._watch is not None:
            self._watch.close()
        self._connection = self._watch = None
        self._retry_at = self._clock() + RETRY_SECONDS

    def _connect(self) -> None:
        connection = own_connection(self.alias)
        self._retry_at = self._clock() + RETRY_SECONDS
        if connection.is_in_memory_db():  # type: ignore[attr-defined]
            return
        try:
            connect(connection)
            self._version = self._read_version(connection)
        except Error as error:
            logger.debug("%r cannot be watched, so it is polled: %s", self.alias, error)
            return
        self._connection, self._watch = connection, FileWatch.make()
        self._paths = _paths_of(connection)

    def _watch_files(self) -> None:
        """Watch what there is now of the files: the log comes and goes with the journal mode."""
        if self._watch and not self._watch.watch(self._paths):
            self._watch.close()
            self._watch = None

    @staticmethod
    def _read_version(connection: BaseDatabaseWrapper) -> int:
        # Past Django's cursors, which cost several times as much. All is fetched: an open statement
        # would hold up checkpoints.
        with connection.wrap_database_errors:
            [(version,)] = connection.connection.execute("PRAGMA data_version").fetchall()
        return int(version)


def _paths_of(connection: BaseDatabaseWrapper) -> list[Path]:
    """The file of a database, and that of its write-ahead log."""
    [[_, _, name], *_] = connection.connection.execute("PRAGMA database_list").fetchall()
    return [Path(name), Path(f"{name}-wal")]
