"""The poller: grabs batches from the databases, fairly between functions."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import LAPSED, Lease, Level, dialect_of
from django_schwartz.models import Job

#: Seconds at the least between two looks for levels while jobs flow; a slow look is made as seldom
#: as it takes to be a twentieth of the time.
LOOK_SECONDS = 0.25
LOOK_SHARE = 20


class Poller:
    """Grabs for the abilities of a client, whose databases it asks in random order."""

    def __init__(
        self,
        client: TheSchwartz,
        *,
        on_grab: Callable[[Lease | None], object] = lambda lease: None,
    ) -> None:
        self.client = client
        self._on_grab = on_grab
        self._queues = {alias: _queue_of(client, alias) for alias in client.databases.aliases}
        #: By alias, the holder of a grab whose reply did not come.
        self._unanswered: dict[str, str] = {}

    def poll(self, limit: int) -> list[Job]:
        """Grab up to `limit` due jobs, in the order in which they are to be performed."""
        grabbed: list[Job] = []
        for alias in self.client.databases.in_random_order():
            with self.client.databases.failing_over(alias):
                grabbed += self._grab(alias, limit - len(grabbed))
            if len(grabbed) >= limit:
                break
        return in_fair_order(grabbed)

    def _grab(self, alias: str, limit: int) -> list[Job]:
        if alias in self._unanswered:
            return self._find_unanswered(alias)
        lease = self.client.lease(self.client.all_abilities, alias)
        if not lease.seconds:
            return []
        self._on_grab(lease)
        try:
            grabbed = self._queues[alias].grab(lease, limit)
        except AnyDatabaseError:
            self._unanswered[alias] = lease.grabbed_by
            raise
        return grabbed

    def _find_unanswered(self, alias: str) -> list[Job]:
        """The jobs of a grab that the database made, but whose reply was lost."""
        holder = self._unanswered[alias]
        rows = Job.objects.using(alias).grabbed()
        found = list(rows.filter(grabbed_by__in=[holder, holder + LAPSED]))
        del self._unanswered[alias]
        return found


def in_fair_order(jobs: Iterable[Job]) -> list[Job]:
    """The highest priority first; at one priority the functions take turns."""
    turns: dict[tuple[int, int], int] = defaultdict(int)
    ranked = []
    for job in sorted(jobs, key=lambda job: (job.grabs > 1, job.run_after, job.jobid)):
        priority = -(job.priority or 0)
        turns[priority, job.func_id] += 1
        ranked.append((priority, turns[priority, job.func_id], len(ranked), job))
    ranked.sort(key=lambda entry: entry[:3])
    return [job for *_, job in ranked]


def _queue_of(client: TheSchwartz, alias: str) -> "PlainQueue":
    return LevelledQueue(client, alias) if client.prioritize else PlainQueue(client, alias)


class PlainQueue:
    """A queue whose database sorts what is due, at every grab."""

    def __init__(self, client: TheSchwartz, alias: str) -> None:
        self.client = client
        self.alias = alias
        #: The functions that the last grab gave jobs of: the others go first.
        self._served: set[int] = set()

    def grab(self, lease: Lease, limit: int) -> list[Job]:
        others = [funcid for funcid in lease.seconds if funcid not in self._served]
        random.shuffle(others)
        grabbed: list[Job] = []
        for funcid in others if self._served else []:
            if len(grabbed) < limit:
                grabbed += self._grab_of([funcid], lease, 1)
        if len(grabbed) < limit:
            grabbed += self._grab_of(list(lease.seconds), lease, limit - len(grabbed))
        self._served = {job.func_id for job in grabbed}
        return grabbed

    def _grab_of(self, funcids: list[int], lease: Lease, limit: int) -> list[Job]:
        jobs = self.client.narrowed(Job.objects.using(self.alias).due().of(funcids))
        return jobs.grab(lease, limit=limit, look_at=max(limit, self.client.batch_size))


class LevelledQueue(PlainQueue):
    """A queue whose levels are known, so that a grab costs the same however long the queue is.

    Each level is read on from where the last grab ended. What came before that, and levels that are
    new, are found at the next look.
    """

    def __init__(self, client: TheSchwartz, alias: str) -> None:
        super().__init__(client, alias)
        self._levels: list[Level] = []
        self._next_look = 0.0

    def grab(self, lease: Lease, limit: int) -> list[Job]:
        if not self._levels or time.monotonic() >= self._next_look:
            self._look(lease)
        if not self._levels:
            return []
        queue = Job.objects.using(self.alias)
        levels = self._shares(limit)
        grabbed = dialect_of(connections[self.alias]).grab_levels(queue, levels, lease, limit=limit)
        queue.tell_grabbed(grabbed)
        self._served = {job.func_id for job in grabbed}
        self._go_on_after(grabbed)
        if len(grabbed) < limit:
            self._levels = []
        return grabbed

    def _look(self, lease: Lease) -> None:
        started = time.monotonic()
        queue = Job.objects.using(self.alias)
        self._levels = dialect_of(connections[self.alias]).find_levels(
            queue, list(lease.seconds), floor=self.client.floor
        )
        took = time.monotonic() - started
        self._next_look = started + max(LOOK_SECONDS, took * LOOK_SHARE)

    def _shares(self, limit: int) -> Sequence[Level]:
        """First one job of each function that was not served last, then equals get equal shares."""
        equals: dict[int, int] = defaultdict(int)
        for level in self._levels:
            equals[level.priority] += 1
        first = {
            level.funcid: replace(level, share=1)
            for level in reversed(self._levels)
            if level.funcid not in self._served
        }
        shared = [replace(x, share=-(-limit // equals[x.priority])) for x in self._levels]
        random.shuffle(shared)
        shared.sort(key=lambda level: -level.priority)
        return [*first.values(), *shared] if self._served else shared

    def _go_on_after(self, grabbed: Iterable[Job]) -> None:
        last: dict[tuple[int, int], tuple[int, int]] = {}
        for job in grabbed:
            level, place = (job.func_id, job.priority or 0), job.place
            last[level] = max(place, last.get(level, place))
        self._levels = [
            replace(level, after=last[key])
            if (key := (level.funcid, level.priority)) in last
            else level
            for level in self._levels
        ]
