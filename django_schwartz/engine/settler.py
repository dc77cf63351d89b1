"""The settler: a thread that records the outcomes in one database, all that wait together."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.deadline import within
from django_schwartz.dialects import dialect_of
from django_schwartz.engine.holds import Holds
from django_schwartz.models import Job, OfThisProcess, Outcome, Settlement
from django_schwartz.models.outcome import settle, settle_together
from django_schwartz.signals import tell_finished
from django_schwartz.transactions import may_be_rolled_back

logger = logging.getLogger("django_schwartz")

#: Outcomes recorded by one statement.
BATCH = 2000
#: Seconds that the database has at least to record a batch.
LEAST_PATIENCE = 5
#: Seconds between attempts to record while a database is away.
PAUSES = (0.05, 0.2, 0.5, 1)

Task = Callable[[], object]


class Mine(threading.local):
    """Each thread's own connection. To ask Django for it takes a while."""

    def __init__(self, using: str) -> None:
        self.connection = connections[using]


class Settler(OfThisProcess):
    """Holds the jobs of one database, and records their outcomes: see models.job.Holder.

    It never waits for more to come: what came while it wrote is what it writes next.
    """

    def __init__(self, holds: Holds, using: str) -> None:
        self._holds = holds
        self._using = using
        holds.holders[using] = self
        self._waiting: queue.SimpleQueue[Settlement | Task] = queue.SimpleQueue()
        self._is_open = False
        self._mine = Mine(using)
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def start(self) -> None:
        self._is_open = True
        self._thread.start()

    def stop(self) -> None:
        """Record what waits, and end."""
        self.call(self._close)
        self._thread.join()

    def _close(self) -> None:
        self._is_open = False

    def record(self, job: Job, outcome: Outcome) -> bool:
        if outcome.children or may_be_rolled_back(self._mine.connection):
            return False
        hold = job.hold
        if hold:
            hold.is_queued = True
        self._waiting.put((job, outcome))
        return True

    def stop_renewing(self, jobs: Iterable[Job]) -> None:
        self._holds.stop_renewing(jobs)

    def finish_recording(self, job: Job) -> None:
        # A transaction that is the only writer would wait for who waits for its end.
        is_shut_out = dialect_of(job.driver).has_one_writer and may_be_rolled_back(job.driver)
        hold = job.hold
        if hold and hold.is_queued and not is_shut_out:
            self.catch_up()

    def catch_up(self, seconds: float | None = None) -> None:
        """Return when all that waits is recorded, or so many seconds later."""
        if threading.current_thread() is not self._thread:
            done = threading.Event()
            self.call(done.set)
            done.wait(seconds)

    def call(self, task: Task) -> None:
        """Have the settler's thread do this, after what waits already."""
        self._waiting.put(task)

    def _run(self) -> None:
        while self._is_open:
            settlements: list[Settlement] = []
            for entry in self._take_what_waits():
                if isinstance(entry, tuple):
                    settlements.append(entry)
                else:
                    _attempt(partial(self._settle, settlements))
                    _attempt(entry)
                    settlements = []
            _attempt(partial(self._settle, settlements))
        connections.close_all()

    def _take_what_waits(self) -> list[Settlement | Task]:
        """Wait for something, then take what is there."""
        take = self._waiting.get
        return [take(), *(take() for _ in range(min(self._waiting.qsize(), BATCH - 1)))]

    def _settle(self, settlements: list[Settlement]) -> None:
        held_until = self._holds.stop_renewing([job for job, _ in settlements])
        # Of a job that was lost and grabbed again, one attempt: which of two was held is not told.
        together = {entry[0].jobid: entry for entry in settlements if entry[1].is_departure}
        if together and self._settle_together([*together.values()], held_until):
            settlements = [x for x in settlements if together.get(x[0].jobid) is not x]
        for job, outcome in settlements:
            self._settle_alone(job, outcome)

    def _settle_together(self, settlements: list[Settlement], held_until: float) -> bool:
        """Record these departures; False if the database will not have them like that."""
        jobs = [job for job, _ in settlements]
        was_interrupted = False
        for pause in pauses():
            try:
                with within(_patience(held_until), connections[self._using]):
                    gone = settle_together(self._using, settlements)
                break
            except Exception as error:  # noqa: BLE001 # a value that one of them left is user data
                if not is_away(self._using, error) or not any(map(self._holds.is_held, jobs)):
                    logger.debug("recording %d outcomes one by one", len(settlements))
                    return False
                was_interrupted = True
            connections[self._using].close()
            time.sleep(pause)
        if was_interrupted:
            # Within its lease nobody else could take it: it was this settler, before that.
            gone |= {job.jobid for job in jobs if self._holds.is_held(job)}
        self._holds.drop(jobs)
        lost = [job for job in jobs if job.jobid not in gone] if len(gone) < len(jobs) else []
        if lost:
            settlements = [entry for entry in settlements if entry[0].jobid in gone]
        tell_finished([(job, outcome, job.runtime) for job, outcome in settlements])
        for job in lost:
            job.become_lost()
        return True

    def _settle_alone(self, job: Job, outcome: Outcome) -> None:
        try:
            decided = settle(job, outcome)
        except Exception:
            logger.exception("the outcome of %s could not be recorded", job.handle)
            self._holds.drop([job])
            return
        self._holds.drop([job])
        if decided:
            job.become_recorded(decided)
        else:
            job.become_lost()


def _patience(held_until: float) -> float:
    """Seconds to wait for an answer: what leaves time to ask again before the leases end."""
    return max(LEAST_PATIENCE, (held_until - time.monotonic()) / 2)


def pauses() -> Iterable[float]:
    yield from PAUSES
    while True:
        yield PAUSES[-1]


def _attempt(task: Task) -> None:
    """Do it, whatever receivers of signals and handlers of the log raise."""
    try:
        task()
    except BaseException:
        with suppress(BaseException):
            logger.exception("the settler goes on")


def is_away(using: str, error: Exception) -> bool:
    """Whether the database cannot be had now, so that the statement is to be tried again."""
    if not isinstance(error, AnyDatabaseError):
        return False
    dialect, connection = dialect_of(connections[using]), connections[using]
    return dialect.is_passing(error) or dialect.is_unavailable(connection, error)
