"""Dispatchers that go on whatever happens, and what they were told."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

from django.db import DatabaseError, InterfaceError, connections

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import SchwartzError

PAUSE_SECONDS = 0.02


class Load:
    """Jobs of Keep, dispatched one at a time, each with a number of its own."""

    def __init__(self, *aliases):
        self._aliases = aliases
        self._numbers = count()
        self._stopping = threading.Event()
        #: The numbers whose dispatch was acknowledged, in their order, and when the last was.
        self.acknowledged, self.acknowledged_at = [], 0.0
        #: How many were refused: of these some may be queued all the same.
        self.refused = 0
        self.longest_seconds = 0.0

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
            number, began = next(self._numbers), time.monotonic()
            try:
                client.dispatch_async("Keep", number)
            except (SchwartzError, DatabaseError, InterfaceError):
                self.refused += 1
            else:
                self.acknowledged.append(number)
                self.acknowledged_at = time.monotonic()
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
        connections.close_all()
