"""Assignments: jobs that the supervisor gives to a process, which performs them one at a time."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

from django_schwartz.dialects import Lease
from django_schwartz.engine.hands import Hands
from django_schwartz.engine.ledger import Entry
from django_schwartz.models import Job

#: Seconds after which a database is asked again that was away.
RETRY_SECONDS = 1


class Assignments:
    """Takes over each job from the supervisor, and tells it when the job is done with.

    In the place of a Poller. `wake` is called, in a thread, when there is news.
    """

    def __init__(self, hands: Hands, assigned: Connection, *, wake: Callable[[], object]) -> None:
        self._hands = hands
        self._assigned = assigned
        self._wake = wake
        self._entries: deque[Entry] = deque()
        self._taken: Entry | None = None
        threading.Thread(target=self._receive, name="assignments", daemon=True).start()

    def _receive(self) -> None:
        try:
            while True:
                self._entries.append(self._assigned.recv())
                self._wake()
        except EOFError:
            pass

    @property
    def is_wanted(self) -> bool:
        return True

    @property
    def was_answered(self) -> bool:
        return not self._entries

    @property
    def due_at(self) -> float:
        return time.monotonic() + RETRY_SECONDS if self._entries else math.inf

    def poll(self, limit: int) -> list[Job]:
        """The next job, when the one before it is done with."""
        if len(self._hands.holds):
            return []
        self._report()
        while self._entries:
            if (taken := self._take(self._entries[0])) is None:
                break  # it is tried again
            self._taken = self._entries.popleft()
            if taken:
                return taken
            self._report()
        return []

    def _take(self, entry: Entry) -> list[Job] | None:
        """The job; nothing if it is another's now, or gone; None while its database is away."""
        with self._hands.client.databases.failing_over(entry.alias):
            return self._hands.take(entry.alias, partial(_take_over, entry))
        return None

    def _report(self) -> None:
        if self._taken is not None:
            self._assigned.send(self._taken)
            self._taken = None


def _take_over(entry: Entry, lease: Lease) -> list[Job]:
    return Job.objects.using(entry.alias).of(lease.seconds).held([entry]).grab(lease)
