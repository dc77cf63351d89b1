"""The worker's end: sleeping until something may be due."""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import inf
from typing import Protocol

from django.db import connections

from django_schwartz.wakeup.announcing import PATIENCE_SECONDS
from django_schwartz.wakeup.ear import Ear
from django_schwartz.wakeup.postgresql import PostgreSQLEar, has_psycopg3
from django_schwartz.wakeup.sqlite import SQLiteEar

#: Seconds after which a worker that hears of every dispatch polls nevertheless: for retries, broken
#: leases, and jobs that came by other ways.
GROUND_SECONDS = 5
#: Seconds after "I am idle" at which the worker looks again. The last is what announcing.py counts
#: on; the first finds most of what that finds, and sooner.
SECOND_LOOKS = (0.02, PATIENCE_SECONDS + 0.05)
#: The first pause of a worker that has to poll; each is twice as long as the one before.
FIRST_PAUSE_SECONDS = 0.05


class Living(Protocol):
    """Which databases live: see databases.Databases."""

    @property
    def deadline_seconds(self) -> float | None: ...
    def lives(self, alias: str) -> bool: ...
    def failing_over(self, alias: str, *, revives: bool) -> AbstractContextManager[object]: ...


class Ears:
    """One worker process's ears for these databases. One thread uses them; any may wake() it.

    Of `living` those are left alone that are dead. The clock (seconds) is given, for tests to
    decide.
    """

    def __init__(
        self,
        aliases: Sequence[str],
        *,
        poll_seconds: float,
        living: Living | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.poll_seconds = poll_seconds
        self._living = living
        self._clock = clock
        deadline_seconds = living.deadline_seconds if living else None
        self._ears = [_ear_of(alias, deadline_seconds) for alias in aliases]
        self._pause = FIRST_PAUSE_SECONDS
        self._looks: list[float] = []
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    @property
    def are_hearing(self) -> bool:
        """Whether every database tells of dispatches, so that polling is the ground alone."""
        return all(ear.is_hearing for ear in self._ears)

    def listen(self) -> None:
        """Say that this process is idle. Poll once more before you wait()."""
        news = [self._ask(ear, ear.listen) for ear in self._ears]
        if any(news):
            now = self._clock()
            self._looks = [now + seconds for seconds in SECOND_LOOKS]

    def hush(self) -> None:
        """Say that this process is busy. Cheap enough to be said at every grab."""
        self._pause = min(FIRST_PAUSE_SECONDS, self.poll_seconds)
        for ear in self._ears:
            self._ask(ear, ear.hush)

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until something may be due, or for so many seconds: False if that is all it was."""
        ends_at = inf if seconds is None else self._clock() + seconds
        poll_at = self._next_poll()
        with self._selector() as selector:
            while (now := self._clock()) < min(ends_at, poll_at):
                selector.select(self._sleep(min(ends_at, poll_at) - now))
                if self._was_woken() or self._have_heard():
                    return True
        self._looks = [look for look in self._looks if look > now]
        return poll_at <= ends_at

    def wake(self) -> None:
        """End the wait(), or the next one. For any thread, and for signal handlers."""
        with contextlib.suppress(OSError):  # many are waiting there already, or it is closed
            self._waker.send(b"\0")

    def close(self) -> None:
        """Say that this process is idle no more, and give back every connection."""
        for ear in self._ears:
            self._ask(ear, ear.say_goodbye)
            ear.close()
        self._woken.close()
        self._waker.close()

    def _ask(self, ear: Ear, verb: Callable[[], bool | None]) -> bool:
        """What it tells; False where its database is dead, or is found to be."""
        if self._living is None:
            return bool(verb())
        if self._living.lives(ear.alias):
            with self._living.failing_over(ear.alias, revives=False):
                return bool(verb())
        return False

    def _next_poll(self) -> float:
        if self.are_hearing:
            ground = self._clock() + max(self.poll_seconds, GROUND_SECONDS)
            return min([*self._looks, ground])
        pause, self._pause = self._pause, min(2 * self._pause, self.poll_seconds)
        return self._clock() + pause

    def _selector(self) -> selectors.BaseSelector:
        selector = selectors.DefaultSelector()
        selector.register(self._woken, selectors.EVENT_READ)
        for ear in self._ears:
            if (number := ear.fileno()) is not None:
                selector.register(number, selectors.EVENT_READ)
        return selector

    def _sleep(self, at_most: float) -> float:
        looks = [ear.look_seconds for ear in self._ears if ear.look_seconds is not None]
        return min([at_most, *looks])

    def _was_woken(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(self._woken.recv(4096))
        return False

    def _have_heard(self) -> bool:
        return any([ear.has_heard() for ear in self._ears])  # noqa: C419 # every one has to look


def _ear_of(alias: str, deadline_seconds: float | None) -> Ear:
    connection = connections[alias]
    if connection.vendor == "postgresql" and has_psycopg3():
        return PostgreSQLEar(alias, deadline_seconds=deadline_seconds)
    return SQLiteEar(alias) if connection.vendor == "sqlite" else Ear(alias)
