"""Assignments: jobs that the supervisor gives to a process, which performs them one at a time."""

import math
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

from django_schwartz.dialects import Lease
from django_schwartz.engine.hands import Hands
from django_schwartz.engine.ledger import Entry
from django_schwartz.models import Job


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
    def due_at(self) -> float:
        return math.inf

    def poll(self, limit: int) -> list[Job]:
        """The next job, when the one before it is done with."""
        if len(self._hands.holds):
            return []
        self._report()
        while self._entries:
            self._taken = self._entries.popleft()
            with self._hands.client.databases.failing_over(self._taken.alias):
                grab = partial(_take_over, self._taken)
                if grabbed := self._hands.take(self._taken.alias, grab):
                    return grabbed
            self._report()
        return []

    def _report(self) -> None:
        if self._taken is not None:
            self._assigned.send(self._taken)
            self._taken = None


def _take_over(entry: Entry, lease: Lease) -> list[Job]:
    return Job.objects.using(entry.alias).of(lease.seconds).held([entry]).grab(lease)
