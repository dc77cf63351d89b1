"""One process at work: it grabs and performs jobs, one after the other, until told to stop."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from django.db import Error, connections

from django_schwartz.client import TheSchwartz
from django_schwartz.performance import Performance, StopNow
from django_schwartz.retention import BATCH, purge
from django_schwartz.signals import printable
from django_schwartz.stats import nobody_can_do

logger = logging.getLogger("django_schwartz")

#: Seconds between two looks after what is not a job's: old rows, and jobs that nobody can do.
HOUSEKEEPING_SECONDS = 60
#: Seconds between two looks for functions that no worker was known for.
ABILITIES_SECONDS = 5


class Runner:
    """Works off the client's abilities.

    It waits `delay` seconds when nothing is due, or ends if `until_done`; and ends after
    `max_jobs`. The clock (seconds) is given, for tests to decide.
    """

    def __init__(
        self,
        client: TheSchwartz,
        *,
        delay: float,
        until_done: bool = False,
        max_jobs: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.delay = delay
        self.until_done = until_done
        self.max_jobs = max_jobs
        self.performed = 0
        self._clock = clock
        self._stopping = threading.Event()
        self._next_housekeeping = clock()
        self._next_look = clock() + ABILITIES_SECONDS
        self._trouble = ""

    def stop(self) -> None:
        """Have run() return after the running job; what was grabbed and not begun is given back."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped, until `max_jobs`, or until nothing is due."""
        self.client.make_functions()
        while not self._is_finished():
            self._keep_house()
            self._look_for_abilities()
            if self._step():
                self.performed += 1
            elif self._is_done():
                break
            else:
                self._stopping.wait(self.delay)

    def _is_finished(self) -> bool:
        return self._stopping.is_set() or self.performed == self.max_jobs

    def _is_done(self) -> bool:
        # An unreachable database may well have jobs that are due.
        return self.until_done and not self.client.databases.causes and not self._trouble

    def _step(self) -> bool:
        """Perform one job, if there is one; whatever the databases do, the loop goes on."""
        try:
            performed = self._perform_next()
        except Error as error:
            self._note_trouble(f"{type(error).__name__}: {error}")
            return False
        finally:
            tend_connections(self.client.databases.aliases)
        self._note_trouble("")
        return performed

    def _perform_next(self) -> bool:
        job = self.client.find_next_job()
        if job is None:
            return False
        if self._stopping.is_set():
            job.give_back()
            return False
        return self.client.work_once(job)

    def _note_trouble(self, trouble: str) -> None:
        """Log trouble when it begins, not each time that it is met."""
        if trouble and trouble != self._trouble:
            logger.error(
                "cannot go on for now, trying again: %s", printable(" ".join(trouble.split()))
            )
        self._trouble = trouble

    def _keep_house(self) -> None:
        if self._clock() < self._next_housekeeping:
            return
        self._next_housekeeping = self._clock() + HOUSEKEEPING_SECONDS
        for alias in self.client.databases.aliases:
            with self.client.databases.failing_over(alias):
                self._purge(alias)
                _tell_of_orphans(alias)

    def _look_for_abilities(self) -> None:
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + ABILITIES_SECONDS
            self.client.look_for_abilities()

    def _purge(self, alias: str) -> None:
        while purge(alias) >= BATCH and not self._stopping.is_set():
            pass


def _tell_of_orphans(alias: str) -> None:
    orphans = nobody_can_do(alias)
    if orphans:
        told = ", ".join(f"{printable(name)} ({count})" for name, count in orphans.items())
        logger.warning("jobs in %r wait for functions that no worker here can do: %s", alias, told)


def tend_connections(kept: list[str]) -> None:
    """Close connections that broke and, but for the queue's own, those past their CONN_MAX_AGE."""
    for connection in connections.all(initialized_only=True):
        is_kept = connection.alias in kept and not connection.errors_occurred
        if not connection.in_atomic_block and not is_kept:
            connection.close_if_unusable_or_obsolete()


@contextmanager
def stopping_on_signals(runner: Runner) -> Iterator[None]:
    """SIGTERM and SIGINT stop the runner; a second one releases the running job: StopNow."""

    def stop(number: int, frame: FrameType | None) -> None:
        performance = Performance.current()
        if runner._stopping.is_set() and performance and performance.is_in_user_code:
            raise StopNow(number)
        logger.info("%s: finishing what runs", signal.Signals(number).name)
        runner.stop()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
