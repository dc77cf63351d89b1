"""The poller: grabs batches from the databases, fairly between functions."""

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from heapq import merge
from typing import Any

from django.db import Error as AnyDatabaseError

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import Lease, Level
from django_schwartz.engine.hands import Hands
from django_schwartz.fields import FIRST, unix_seconds
from django_schwartz.models import Job

#: Seconds at the least between two looks for levels while jobs flow; a slow look is made as seldom
#: as it takes to be a twentieth of the time.
LOOK_SECONDS = 0.25
LOOKS_APART = 20
#: Seconds over which idle processes spread that wait for one job to be due.
SPREAD_SECONDS = 0.5


class Poller:
    """Grabs for the abilities of a client, whose databases it asks in random order.

    Those that `may_ask` says no of are left out.
    """

    def __init__(
        self, hands: Hands, *, may_ask: Callable[[str], bool] = lambda alias: True
    ) -> None:
        self._hands = hands
        self._may_ask = may_ask
        client = hands.client
        kind = LevelledQueue if client.prioritize and not client.is_choosy else PlainQueue
        self._kind = kind
        self._queues = {alias: kind(client, alias) for alias in client.databases.aliases}
        #: See lane.Grabs. Another may have found the database alive since.
        self.was_answered = True

    @property
    def is_wanted(self) -> bool:
        return self._hands.has_abilities

    @property
    def due_at(self) -> float:
        """See lane.Grabs. Of what could not be asked last there is nothing to wait for."""
        now = time.monotonic()
        moments = [queue.due_at for queue in self._queues.values()]
        return min((moment for moment in moments if moment > now), default=math.inf)

    def poll(self, limit: int) -> list[Job]:
        """Grab up to `limit` due jobs, in the order in which they are to be performed.

        What is wrong with one database is raised only where the others have none.
        """
        batches: list[list[Job]] = []
        trouble: AnyDatabaseError | None = None
        aliases = self._hands.client.databases.in_random_order() if self.is_wanted else []
        self.was_answered = True
        for alias in filter(self._may_ask, aliases):
            try:
                taken = self._take(alias, limit)
            except AnyDatabaseError as error:
                trouble = error
                continue
            if taken is None:
                self.was_answered = False
                continue
            batches.append(taken)
            limit -= len(taken)
            if limit <= 0:
                break
        if trouble and not any(batches):
            raise trouble
        return in_fair_order(batches)

    def _take(self, alias: str, limit: int) -> list[Job] | None:
        """None where the database did not answer."""
        with self._hands.client.databases.failing_over(alias):
            return self._hands.take(alias, partial(self._queue(alias).grab, limit=limit))
        return None

    def _queue(self, alias: str) -> "PlainQueue":
        if alias not in self._queues:  # it may have come later
            self._queues[alias] = self._kind(self._hands.client, alias)
        return self._queues[alias]


def in_fair_order(batches: Iterable[list[Job]]) -> list[Job]:
    """The highest priority first; at one priority the functions take turns.

    Each of the batches is in the order of the jobs' places.
    """
    in_order = list(merge(*batches, key=_place_of))
    if len({(row["func_id"], row["priority"]) for row in map(vars, in_order)}) < 2:
        return in_order
    levels = [(-_number(job.priority), job.func_id) for job in in_order]
    turns: dict[tuple[float, int], int] = defaultdict(int)
    ranked: list[tuple[float, int, int]] = []
    for place, level in enumerate(levels):
        turns[level] += 1
        ranked.append((level[0], turns[level], place))
    return [in_order[place] for *_, place in sorted(ranked)]


class PlainQueue:
    """A queue whose database sorts what is due at every grab."""

    def __init__(self, client: TheSchwartz, alias: str) -> None:
        self._client = client
        self._alias = alias
        #: The functions that the last grab gave jobs of: the others go first.
        self._served: set[int] = set()
        self._was_empty = False
        #: When a job may be due next of which nobody tells, by the monotonic clock.
        self.due_at = math.inf

    def grab(self, lease: Lease, limit: int) -> list[Job]:
        """Grab what is due, in the order of places.

        Where nothing was, ask first when something will be.
        """
        # A floor is known to the index that a grab reads, and not to this look.
        if self._was_empty and not self._client.floor and not self._is_any_due(lease):
            return []
        grabbed = self._grab_due(lease, limit)
        self._was_empty = not grabbed
        return grabbed

    def _is_any_due(self, lease: Lease) -> bool:
        jobs = self._client.narrowed(Job.objects.using(self._alias))
        # A lease that begins after this look is as long as ours.
        seconds = jobs.seconds_until_due(lease.seconds, at_most=min(lease.seconds.values()))
        spread = random.uniform(0, SPREAD_SECONDS)  # noqa: S311 - no secret
        self.due_at = time.monotonic() + seconds + spread
        return not seconds

    def _grab_due(self, lease: Lease, limit: int) -> list[Job]:
        grabbed = self._grab_of_others(lease, limit) if self._served else []
        if len(grabbed) < limit:
            grabbed += self._grab_of(lease.seconds, lease, limit - len(grabbed))
        self._served = {job.func_id for job in grabbed}
        return sorted(grabbed, key=_place_of)

    def _grab_of_others(self, lease: Lease, limit: int) -> list[Job]:
        others = [funcid for funcid in lease.seconds if funcid not in self._served]
        random.shuffle(others)
        grabbed: list[Job] = []
        for funcid in others:
            if len(grabbed) < limit:
                grabbed += self._grab_of([funcid], lease, 1)
        return grabbed

    def _grab_of(self, funcids: Iterable[int], lease: Lease, limit: int) -> list[Job]:
        jobs = self._client.narrowed(Job.objects.using(self._alias).due().of(funcids))
        return jobs.grab(lease, limit=limit, look_at=self._client.batch_size)


class LevelledQueue(PlainQueue):
    """A queue whose levels are known, so that a grab costs the same however long the queue is.

    Each level is read on from where the last grab ended. What is before that, and levels that are
    new, are found by the next look.
    """

    def __init__(self, client: TheSchwartz, alias: str) -> None:
        super().__init__(client, alias)
        self._levels: list[Level] = []
        self._next_look = 0.0

    def _grab_due(self, lease: Lease, limit: int) -> list[Job]:
        reads_on = self._levels and time.monotonic() < self._next_look
        if reads_on and (grabbed := self._grab_on(lease, limit)):
            return grabbed
        levels = self._look(lease)
        if levels is None:
            return super()._grab_due(lease, limit)
        self._levels = levels
        return self._grab_on(lease, limit) if levels else []

    def _grab_on(self, lease: Lease, limit: int) -> list[Job]:
        queue = Job.objects.using(self._alias)
        grabbed = queue.grab_levels(self._shares(limit), lease, limit=limit)
        # The last job of each level, by which the next grab goes on.
        grabbed.sort(key=_place_of)
        last: dict[tuple[int, int], Mapping[str, Any]] = {}
        for row in map(vars, reversed(grabbed)):
            last.setdefault((row["func_id"], row["priority"] or 0), row)
            if len(last) == len(self._levels):
                break
        self._served = {funcid for funcid, _ in last}
        self._levels = self._after(last) if len(grabbed) == limit else []
        return grabbed

    def _look(self, lease: Lease) -> list[Level] | None:
        began = time.monotonic()
        queue = Job.objects.using(self._alias)
        levels = queue.find_levels(lease.seconds, floor=self._client.floor)
        took = time.monotonic() - began
        self._next_look = began + max(LOOK_SECONDS, took * LOOKS_APART)
        return levels

    def _shares(self, limit: int) -> list[Level]:
        """First a job of each function that was not served last; then equals get equal shares."""
        equals: dict[int, int] = defaultdict(int)
        for level in self._levels:
            equals[level.priority] += 1
        shared = [replace(x, share=-(-limit // equals[x.priority])) for x in self._levels]
        random.shuffle(shared)
        shared.sort(key=lambda level: -_number(level.priority))
        return [*self._first_of_others(), *shared]

    def _first_of_others(self) -> Iterable[Level]:
        others = {
            level.funcid: level
            for level in reversed(self._levels)
            if level.funcid not in self._served
        }
        return others.values() if self._served else ()

    def _after(self, last: Mapping[tuple[int, int], Mapping[str, Any]]) -> list[Level]:
        """The levels from the last grabbed job on of each."""
        since = {
            level: (unix_seconds(row["run_after"] or 0), row["jobid"])
            for level, row in last.items()
        }
        return [replace(x, since=since.get((x.funcid, x.priority), x.since)) for x in self._levels]


def _place_of(job: Job) -> tuple[datetime, int]:
    """What decides between jobs of one level."""
    return job.run_after or FIRST, job.jobid


def _number(priority: object) -> float:
    """A priority to reckon with; SQLite keeps text in any column."""
    return priority if isinstance(priority, int | float) else 0
