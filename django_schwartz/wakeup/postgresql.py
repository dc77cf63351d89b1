"""PostgreSQL: LISTEN, on a connection that is held open and was proven to work."""

import logging
import secrets
import time
from collections.abc import Callable

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.deadline import Unanswered, within
from django_schwartz.wakeup.announcing import CHANNEL
from django_schwartz.wakeup.ear import Ear, connect, own_connection
from django_schwartz.wakeup.idlerow import say_busy, say_idle

logger = logging.getLogger("django_schwartz")

#: Seconds within which the ear must hear its own test.
PROOF_SECONDS = 1
#: Seconds until a connection that broke is made again: the first time, and at most.
RETRY_SECONDS = (1, 60)
#: Seconds until LISTEN is tried again where it did not work.
DEAF_SECONDS = 600
#: Seconds for which "idle" is taken to be known: the row may have been purged, the table emptied.
SAY_AGAIN_SECONDS = 15
#: Seconds that "idle" stands at least, so that a process which gets a job now and then does not
#: write its row twice for each. NOTIFYs that nobody needs are the lesser cost.
IDLE_SECONDS = 0.2
#: A connection that nothing is sent on has to notice when the other end is gone.
OPTIONS: dict[str, object] = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class PostgreSQLEar(Ear):
    """Hears NOTIFYs, which dispatchers send while this process's row says that it is idle.

    A statement that takes longer than `deadline_seconds` is Unanswered; no other error is raised.
    """

    def __init__(
        self,
        alias: str,
        *,
        deadline_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(alias)
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._connection: BaseDatabaseWrapper | None = None
        self._test, self._tested_until, self._is_proven = "", 0.0, False
        self._retry_at, self._retry_seconds = clock(), RETRY_SECONDS[0]
        self._idle_since: float | None = None
        self._say_again_at = 0.0
        self._trouble = ""

    @property
    def is_hearing(self) -> bool:  # type: ignore[override]
        return self._connection is not None and self._is_proven

    def fileno(self) -> int | None:
        return None if self._connection is None else int(self._connection.connection.fileno())

    def listen(self) -> bool:
        now = self._clock()
        is_known = self._idle_since is not None and now < self._say_again_at
        if is_known or (self._connection is None and now < self._retry_at):
            return False
        try:
            return self._say_idle(self._connection) if self._connection else self._connect()
        except Error as error:
            self._fail(error)
        return False

    def hush(self) -> None:
        if self._idle_since is None or self._clock() < self._idle_since + IDLE_SECONDS:
            return
        try:
            self._say_busy()
        except Error as error:
            self._fail(error)

    def _fail(self, error: Error) -> None:
        self._become_deaf(f"{type(error).__name__}: {error}")
        if isinstance(error, Unanswered):
            raise error

    def has_heard(self) -> bool:
        if self._connection is None:
            return False
        try:
            with self._connection.wrap_database_errors:
                notifies = self._connection.connection.notifies(timeout=0)
                heard = [notify.payload for notify in notifies]
        except Error as error:
            self._become_deaf(f"{type(error).__name__}: {error}")
            return True
        self._judge(heard, self._connection)
        return "" in heard

    def say_goodbye(self) -> None:
        try:
            self._say_busy()
        except Error:
            logger.debug("%r cannot be told that this process ends", self.alias)

    def close(self) -> None:
        self._disconnect()

    # The connection, and the proof that it hears

    def _connect(self) -> bool:
        self._connection = self._open()
        self._say_idle(self._connection)
        self._send(self._connection, f"LISTEN {CHANNEL}")
        self._begin_test()
        return True

    def _open(self) -> BaseDatabaseWrapper:
        connection = own_connection(self.alias, **OPTIONS)
        with within(self._deadline_seconds, connection):
            connect(connection)
        return connection

    def _begin_test(self) -> None:
        """Send this ear a NOTIFY by another connection.

        A pooler may give what this one sends itself to the same server process, and so back: and
        yet drop everything that comes when nothing was asked.
        """
        self._test, self._is_proven = secrets.token_hex(8), False
        self._tested_until = self._clock() + PROOF_SECONDS
        other = self._open()
        try:
            self._send(other, f"NOTIFY {CHANNEL}, '{self._test}'")
        finally:
            other.close()

    def _judge(self, heard: list[str], connection: BaseDatabaseWrapper) -> None:
        if self._is_proven:
            return
        if self._test in heard:
            self._become_hearing()
        elif self._clock() > self._tested_until:
            self._give_up(connection)

    def _become_hearing(self) -> None:
        self._is_proven, self._retry_seconds = True, RETRY_SECONDS[0]
        if self._trouble:
            logger.info("database %r tells of new jobs again", self.alias)
        self._trouble = ""

    def _give_up(self, connection: BaseDatabaseWrapper) -> None:
        try:
            self._say_busy()
            self._send(connection, "UNLISTEN *")
        except Error:
            logger.debug("%r cannot be told that nobody listens", self.alias)
        self._become_deaf(
            "a pooler that does not pass on NOTIFY (as PgBouncer's transaction mode) may be in"
            " between",
            retry_seconds=DEAF_SECONDS,
        )

    def _become_deaf(self, trouble: str, *, retry_seconds: float | None = None) -> None:
        self._disconnect()
        self._retry_at = self._clock() + (retry_seconds or self._retry_seconds)
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS[1])
        if not self._trouble:
            logger.warning(
                "database %r does not tell of new jobs, so it is polled: %s",
                self.alias,
                " ".join(trouble.split()),
            )
        self._trouble = trouble

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._idle_since, self._is_proven = None, None, False

    # What this process's row says

    def _say_idle(self, connection: BaseDatabaseWrapper) -> bool:
        with within(self._deadline_seconds, connection):
            is_news = say_idle(connection)
        if is_news or self._idle_since is None:
            self._idle_since = self._clock()
        self._say_again_at = self._clock() + SAY_AGAIN_SECONDS
        return is_news

    def _say_busy(self) -> None:
        if self._connection is not None and self._idle_since is not None:
            self._idle_since = None
            with within(self._deadline_seconds, self._connection):
                say_busy(self._connection)

    def _send(self, connection: BaseDatabaseWrapper, sql: str) -> None:
        with within(self._deadline_seconds, connection), connection.cursor() as cursor:
            cursor.execute(sql)


def has_psycopg3() -> bool:
    """Whether Django's PostgreSQL connections are psycopg 3's. Those of psycopg 2 are polled."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)
