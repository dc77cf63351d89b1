"""One process at work: it grabs and performs jobs, one after the other, until told to stop."""

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from django.db import Error

from django_schwartz.client import TheSchwartz
from django_schwartz.healthcheck import Healthcheck
from django_schwartz.housekeeping import Housekeeping
from django_schwartz.lookout import Lookout
from django_schwartz.models import Job
from django_schwartz.os_signals import dump_stacks, handle, told_to_stop
from django_schwartz.performance import Performance, StopNow
from django_schwartz.signals import printable
from django_schwartz.upgrades import Latecomers
from django_schwartz.upkeep import Upkeep

logger = logging.getLogger("django_schwartz")


class Runner:
    """Works off the client's abilities.

    It waits `delay` seconds when nothing is due, or ends if `until_done`; and ends after
    `max_jobs`. `missing` are other databases, and the migrations that each joins with. The clock
    (seconds) is given, for tests to decide.
    """

    def __init__(
        self,
        client: TheSchwartz,
        *,
        delay: float,
        until_done: bool = False,
        max_jobs: int | None = None,
        healthcheck: Path | None = None,
        missing: Mapping[str, Sequence[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.delay = delay
        self.until_done = until_done
        self.max_jobs = max_jobs
        self._healthcheck = Healthcheck(healthcheck) if healthcheck else None
        self.performed = 0
        self.is_stopping = False
        #: Whose put(), unlike an Event's set(), may interrupt a wait in the same thread.
        self._told_to_stop: SimpleQueue[None] = SimpleQueue()
        self._housekeeping = Housekeeping(
            client.databases, is_over=lambda: self.is_stopping, clock=clock
        )
        self._lookout = Lookout(client, clock=clock)
        self._latecomers = Latecomers(client.databases, missing or {}, clock=clock)
        self._trouble = ""

    def stop(self) -> None:
        """Have run() return after the running job; what was grabbed and not begun is given back."""
        self.is_stopping = True
        self._told_to_stop.put(None)

    def run(self) -> None:
        """Work until stopped, until `max_jobs`, or until nothing is due."""
        self._upkeep = Upkeep(self.client.databases.aliases)
        self.client.make_functions()
        while not self._is_finished():
            self._housekeeping.keep()
            self._lookout.look()
            for alias in self._latecomers.look():
                self.client.make_functions_in(alias)
            if self._healthcheck:
                self._healthcheck.date()
            if self._step():
                self.performed += 1
            elif self._is_done():
                break
            else:
                with suppress(Empty):
                    self._told_to_stop.get(timeout=self.delay)

    def _is_finished(self) -> bool:
        return self.is_stopping or self.performed == self.max_jobs

    def _is_done(self) -> bool:
        # An unreachable database may well have jobs that are due.
        is_any_away = self.client.databases.causes or self._latecomers.aliases
        return self.until_done and not is_any_away and not self._trouble

    def _step(self) -> bool:
        """Perform one job, if there is one; whatever the databases do, the loop goes on."""
        try:
            performed = self._perform_next()
        except Error as error:
            self._note_trouble(f"{type(error).__name__}: {error}")
            return False
        finally:
            self._upkeep.tend()
        self._note_trouble("")
        return performed

    def _perform_next(self) -> bool:
        job = self.client.find_next_job()
        if job is None:
            return False
        if self.is_stopping:
            job.give_back()
            return False
        return self._perform(job)

    def _perform(self, job: Job) -> bool:
        try:
            return self.client.work_once(job)
        except Error:
            raise
        except Exception:  # the worker's code left in its job what makes no statement
            logger.exception("%s has no outcome: it comes back when its lease ends", job.handle)
            return True

    def _note_trouble(self, trouble: str) -> None:
        """Log trouble when it begins, not each time that it is met."""
        if trouble and trouble != self._trouble:
            logger.error(
                "cannot go on for now, trying again: %s", printable(" ".join(trouble.split()))
            )
        self._trouble = trouble


@contextmanager
def stopping_on_signals(runner: Runner) -> Iterator[None]:
    """Signals stop the runner; a second one releases the running job: StopNow.

    SIGUSR1 tells where its threads are.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        performance = Performance.current()
        if runner.is_stopping and performance and performance.is_in_user_code:
            raise StopNow(number)
        logger.info("%s: finishing what runs", signal.Signals(number).name)
        runner.stop()

    handlers: dict[int, Callable[[int, FrameType | None], object]] = {
        **dict.fromkeys(told_to_stop(), stop),
        signal.SIGUSR1: lambda number, _: dump_stacks(number),
    }
    restore = handle(handlers)
    try:
        yield
    finally:
        restore()
