"""Dispatchers that go on whatever happens, and what they were told; and what was performed."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

from django.db import DatabaseError, InterfaceError, connections

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import SchwartzError
from django_schwartz.models import Error, ExitStatus, Job
from tests.app.models import Trace
from tests.waiting import until

PAUSE_SECONDS = 0.02


class Load:
    """Jobs of Keep, dispatched one at a time, each with a number of its own."""

    def __init__(self, *aliases):
        self._aliases = aliases
        self._numbers = count()
        self._stopping = threading.Event()
        #: The numbers whose dispatch was acknowledged, in their order.
        self.acknowledged = []
        self.jobids = {}
        #: How many were refused: of these some may be queued all the same.
        self.refused = 0

    @contextmanager
    def running(self, threads=2):
        with ThreadPoolExecutor(threads) as pool:
            ends = [pool.submit(self._run) for _ in range(threads)]
            try:
                yield self
            finally:
                self._stopping.set()
        for end in ends:
            end.result()

    def _run(self):
        client = TheSchwartz(list(self._aliases))
        while not self._stopping.wait(PAUSE_SECONDS):
            number = next(self._numbers)
            try:
                handle = client.dispatch_async("Keep", number)
            except (SchwartzError, DatabaseError, InterfaceError):
                self.refused += 1
            else:
                self.jobids[number] = handle.jobid
                self.acknowledged.append(number)
        connections.close_all()


def performed(alias):
    """How often each number was performed."""
    return Counter(int(what) for what in Trace.objects.using(alias).values_list("what", flat=True))


@contextmanager
def working_through_it(alias, running, *, back_seconds=10):
    """Dispatch and work, have the block break something, and see that nothing is lost.

    Work has to go on so many seconds later, in the same processes.
    """
    load = Load(alias)
    with load.running():
        until(lambda: len(load.acknowledged) > 200)
        children = running.children
        connections[alias].close()
        broken_at = time.monotonic()
        yield
        known = len(load.acknowledged)
        until(lambda: len(load.acknowledged) > known + 2, 60)
        first = load.acknowledged[known + 2]
        until(lambda: first in performed(alias), 60)
        seconds = time.monotonic() - broken_at
        until(lambda: len(load.acknowledged) > known + 200)
    until(lambda: not Job.objects.using(alias).exists(), 60)

    done = performed(alias)
    lost = [number for number in load.acknowledged if number not in done]
    print(
        f"{len(load.acknowledged)} dispatches acknowledged, {len(lost)} lost, {load.refused}"
        f" refused; work went on after {seconds:.1f} s; {Error.objects.using(alias).count()} failed"
        f" attempts, {sum(times > 1 for times in done.values())} jobs performed again"
    )
    assert not lost
    assert not ExitStatus.objects.using(alias).exclude(status=0).exists()
    assert seconds < back_seconds
    assert running.children == children
