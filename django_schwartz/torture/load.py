"""The load: jobs of every kind, dispatched in every way, each noted in the ledger."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import SchwartzError
from django_schwartz.models import Job, JobHandle
from django_schwartz.torture import kinds
from django_schwartz.torture.ledger import Event, Ledger

#: Seconds that nine of ten jobs take at the most.
QUICK = 0.1
#: Threads that race for one uniqkey.
RACERS = 4


class Load:
    """Dispatches about `rate` jobs a second in a thread of its own."""

    def __init__(
        self, client: TheSchwartz, ledger: Ledger, chance: random.Random, *, rate: float
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._chance = chance
        self._rate = rate
        self._number = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        #: What ended it before its time.
        self.error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():  # or it was never started
            self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        ways = [self._one] * 12 + [self._many, self._race, self._undone, self._group]
        with ThreadPoolExecutor(RACERS) as pool:
            self._pool = pool
            while not self._stopping.wait(
                max(0, began + self._number / self._rate - time.monotonic())
            ):
                try:
                    self._chance.choice(ways)()
                except BaseException as error:  # noqa: BLE001 - told at the end
                    self.error = error
                    return
        connections.close_all()

    # Ways to dispatch

    def _one(self) -> None:
        alone = [kind for kind in kinds.KINDS if kind is not kinds.Unique]
        job = self._job(self._chance.choice(alone))
        self._note([job], lambda: [self._client.dispatch_async(job)])

    def _many(self) -> None:
        jobs = [self._job(kinds.Plain) for _ in range(self._chance.randint(2, 8))]
        self._note(jobs, lambda: self._client.dispatch_jobs(jobs))

    def _group(self) -> None:
        """Jobs that may be performed together."""
        coalesce = f"group {self._chance.randint(1, 5)}"
        for _ in range(self._chance.randint(2, 5)):
            job = self._job(kinds.Coalesced, coalesce=coalesce)
            self._note([job], partial(self._dispatch_all, [job]))

    def _race(self) -> None:
        """One uniqkey, dispatched by several threads at once."""
        uniqkey = f"key {self._chance.randint(1, 1000)}"
        jobs = [self._job(kinds.Unique, uniqkey=uniqkey) for _ in range(RACERS)]
        races = [
            self._pool.submit(
                _closing, partial(self._note, [job], partial(self._dispatch_all, [job]))
            )
            for job in jobs
        ]
        for race in races:
            race.result()

    def _undone(self) -> None:
        """A transaction that is rolled back."""
        job = self._job(kinds.Plain)
        alias = self._chance.choice(self._client.databases.aliases)
        self._ledger.write(Event.ROLLED_BACK, job.arg["key"])
        try:
            with transaction.atomic(using=alias):
                self._client.dispatch_async(job)
                transaction.set_rollback(True, using=alias)
        except AnyDatabaseError:
            connections[alias].close()

    # What is dispatched

    def _job(self, kind: type[kinds.Tortured], **fields: Any) -> Job:
        self._number += 1
        chance = self._chance
        arg = {
            "key": f"{kind.__name__}-{self._number}",
            "seconds": round(
                chance.uniform(0, QUICK if chance.random() < 0.9 else kind.longest), 3
            ),
            "failures": chance.randint(1, 3),
        }
        if kind is kinds.Delayed:
            fields["run_after"] = timedelta(seconds=round(chance.uniform(0.1, 5), 2))
        priority = chance.choice([None, None, -5, 0, 5])
        return Job(funcname=kind.funcname, arg=arg, priority=priority, **fields)  # type: ignore[misc]

    def _dispatch_all(self, jobs: list[Job]) -> list[JobHandle]:
        return [self._client.dispatch_async(job) for job in jobs]

    def _note(self, jobs: list[Job], dispatch: Callable[[], list[JobHandle]]) -> None:
        keys = [job.arg["key"] for job in jobs]
        for key in keys:
            self._ledger.write(Event.INTENT, key)
        try:
            handles = dispatch()
        except (AnyDatabaseError, SchwartzError) as error:
            for key in keys:
                self._ledger.write(Event.UNKNOWN, key, error=f"{type(error).__name__}: {error}")
            return
        for key, handle in zip(keys, handles, strict=True):
            place = [handle.alias, handle.jobid]
            self._ledger.write(Event.DISPATCHED, key, place=place, is_duplicate=handle.is_duplicate)


def _closing(call: Callable[[], None]) -> None:
    try:
        call()
    finally:
        connections.close_all()
