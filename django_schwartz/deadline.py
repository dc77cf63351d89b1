"""Deadlines: what is done on a connection takes so long at most, whatever its server does.

A frozen server ends no statement, and its kernel still answers for it, so that no timeout of the
network's is over. Therefore a thread of its own watches, and shuts the connection's socket: who
waits for an answer is told then that the connection is lost.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from math import inf

from django.db import Error, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_schwartz.dialects import dialect_of

#: Seconds between two looks at a connection that could not be cut: it is not made yet.
LOOK_SECONDS = 0.1


class Unanswered(OperationalError):
    """The database did not answer in time, and the connection was cut."""


class Watch:
    """What is done on a connection, and until when it may be, by the monotonic clock."""

    def __init__(self, connection: BaseDatabaseWrapper, until: float) -> None:
        self.connection = connection
        self.until = until
        self.was_cut = False
        self._number: int | None = None
        self.learn_socket()

    def learn_socket(self) -> None:
        """For the thread that has the connection: mysqlclient lets no other ask for it."""
        self._number = dialect_of(self.connection).fileno(self.connection)

    def cut(self) -> None:
        """Shut the socket; what is not connected yet is looked at again."""
        if self._number is None or self.connection.connection is None:
            self.until = time.monotonic() + LOOK_SECONDS
            return
        self.was_cut, self.until = True, inf
        with suppress(OSError), socket.socket(fileno=os.dup(self._number)) as double:
            double.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One thread for all watches, begun with the first. It sleeps while there is none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._looks_at = inf
        self._thread: threading.Thread | None = None

    def add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            if watch.until < self._looks_at:
                self._changed.notify()

    def remove(self, watch: Watch) -> None:
        """From now on the connection is not cut. It may have been closed otherwise meanwhile."""
        with self._changed:
            self._watches.discard(watch)

    def learn(self, connection: BaseDatabaseWrapper, **_: object) -> None:
        """A connection was made: its thread may be in such a block."""
        with self._changed:
            for watch in self._watches:
                if watch.connection is connection:
                    watch.learn_socket()

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for watch in self._watches:
                    if watch.until <= now:
                        watch.cut()
                self._looks_at = min((watch.until for watch in self._watches), default=inf)
                pause = self._looks_at - now
                self._changed.wait(None if pause == inf else max(0, pause))


_watchdog = Watchdog()
connection_created.connect(_watchdog.learn)


def within(seconds: float | None, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    """Cut the connection when the block takes longer than that, and raise Unanswered; None: never.

    The block is to leave the connection open. One that is being made is ended by its own
    connect_timeout, which is Unanswered, too, if it comes later. Where the database is no server
    there is nothing to cut.
    """
    if seconds is None or not dialect_of(connection).is_server:
        return nullcontext()
    return _watched(seconds, connection)


@contextmanager
def _watched(seconds: float, connection: BaseDatabaseWrapper) -> Iterator[None]:
    ends_at = time.monotonic() + seconds
    watch = Watch(connection, ends_at)
    _watchdog.add(watch)
    try:
        yield
    except Error as error:
        if watch.was_cut or time.monotonic() >= ends_at:
            raise Unanswered(f"no answer within {seconds:g} s, so it was hung up") from error
        raise
    finally:
        _watchdog.remove(watch)
