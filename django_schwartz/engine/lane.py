"""A lane: one crew, the poller that grabs for it, and how far it grabs ahead."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from django_schwartz.models import Job
from django_schwartz.models.arg import bytes_as_read

#: Seconds that a grabbed job may wait until somebody is free: what waits longer is given back.
HOARD_SECONDS = 0.1
#: Jobs grabbed ahead at the most.
FAR_AHEAD = 4000
#: Bytes of args grabbed at once, about.
BATCH_BYTES = 4_000_000


def few(jobs: int) -> int:
    """How many are left of these when it is time to grab more.

    A grab takes as long as hundreds of small jobs do: who asks late has nothing to do meanwhile.
    """
    return jobs * 3 // 4


class Grabs(Protocol):
    """What grabs the jobs of a lane."""

    @property
    def is_wanted(self) -> bool:
        """Whether there may be anything to grab."""

    @property
    def due_at(self) -> float:
        """When something may be due of which nobody tells, by the monotonic clock."""

    @property
    def was_answered(self) -> bool:
        """Whether the last poll() met no connection that was cut, and no dead database."""

    def poll(self, limit: int) -> list[Job]:
        """Grab up to `limit` jobs, in the order in which they are to be performed."""


class Performers(Protocol):
    """What performs the jobs of a lane, up to `size` at a time."""

    @property
    def size(self) -> int: ...

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun with."""

    @property
    def idle(self) -> int:
        """How many more jobs could begin at once."""

    def start(self) -> None: ...

    def put(self, jobs: Iterable[Job]) -> None: ...

    def take_back(self) -> list[Job]:
        """The jobs that nobody has begun with, which nobody will now."""

    def stop(self) -> None:
        """Begin with no more jobs."""

    def join(self, seconds: float) -> bool:
        """Wait so long for what was begun; whether all of it is done."""


class Lane:
    """Grabs for whoever is idle, and ahead of them as far as is begun within HOARD_SECONDS.

    How far is learnt from the batches before. So a quick job never waits long behind a slow one.
    """

    def __init__(
        self, poller: Grabs, crew: Performers, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.crew = crew
        self._poller = poller
        self._clock = clock
        self._ahead = 0
        self._furthest = FAR_AHEAD
        self._filled_at = clock()
        self._was_full = False
        #: Whether the last fill() had room, and so asked for jobs, and was answered.
        self.has_heard = False

    @property
    def is_wanted(self) -> bool:
        return self._poller.is_wanted

    @property
    def due_at(self) -> float:
        return self._poller.due_at

    @property
    def room(self) -> int:
        """How many jobs to grab now; 0 while enough of them wait."""
        waiting = self.crew.waiting
        return 0 if waiting > few(self._ahead) else self.crew.idle + self._ahead - waiting

    def fill(self, at_most: float) -> list[Job]:
        """Grab jobs for the room that there is."""
        room = self.room
        limit = int(min(room, at_most))
        self.has_heard = False
        if limit <= 0:
            return []
        self._learn(room)
        jobs = self._poller.poll(limit)
        self.has_heard = self._poller.was_answered
        if jobs:
            self._mind_bytes(jobs)
            self._filled_at, self._was_full = self._clock(), len(jobs) == limit
            self.crew.put(jobs)
        return jobs

    def take_hoarded(self) -> list[Job]:
        """The jobs that have waited too long, since those before them are long ones."""
        if self.crew.waiting and self._clock() > self._filled_at + HOARD_SECONDS:
            self._ahead = 0
            return self.crew.take_back()
        return []

    def _learn(self, begun: int) -> None:
        """So many jobs were begun since the last fill: how long does it take to begin all?"""
        each = (self._clock() - self._filled_at) / begun
        seconds = each * (self.crew.size + self._ahead)
        if seconds > HOARD_SECONDS:
            self._ahead //= 2
        elif seconds < HOARD_SECONDS / 2 and self._was_full:
            self._ahead = min(2 * self._ahead + self.crew.size, self._furthest)

    def _mind_bytes(self, jobs: list[Job]) -> None:
        size = sum(map(bytes_as_read, jobs)) // len(jobs) or 1
        self._furthest = min(FAR_AHEAD, BATCH_BYTES // size)
        self._ahead = min(self._ahead, self._furthest)
