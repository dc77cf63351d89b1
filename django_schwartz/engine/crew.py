"""The crew: the threads of a process that perform jobs, and the jobs that wait for them."""

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.engine.holds import Holds
from django_schwartz.engine.lane import few
from django_schwartz.models import Job
from django_schwartz.performance import GrabAlong, Overdue, Performer, leave_no_transaction
from django_schwartz.upkeep import Upkeep

logger = logging.getLogger("django_schwartz")

#: Seconds without a job after which a thread's connections may have broken unnoticed.
DOUBT_SECONDS = 0.1


class Crew:
    """Threads that perform what is put before them, first come, first served.

    `on_room` is called, in one of the threads, when few jobs wait and more are wanted.
    `grab_along` grabs what a worker wants to do along with its job.
    """

    def __init__(
        self,
        holds: Holds,
        aliases: list[str],
        *,
        threads: int,
        on_room: Callable[[], object],
        grab_along: GrabAlong,
    ) -> None:
        self._holds = holds
        self._grab_along = grab_along
        self._aliases = aliases
        self._on_room = on_room
        self._waiting: deque[Job] = deque()
        self._has_come = threading.Condition()
        self._is_open = True
        self._few = 0
        self._idle = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]

    @property
    def size(self) -> int:
        return len(self._threads)

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun with."""
        return len(self._waiting)

    @property
    def idle(self) -> int:
        """Threads that have nothing to do."""
        return self._idle

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, jobs: Iterable[Job]) -> None:
        with self._has_come:
            self._waiting.extend(jobs)
            self._few = few(len(self._waiting))
            self._has_come.notify_all()

    def take_back(self) -> list[Job]:
        """The jobs that nobody has begun with, which nobody will now."""
        taken: list[Job] = []
        while self._waiting:
            try:
                taken.append(self._waiting.popleft())
            except IndexError:  # a thread was faster
                break
        return taken

    def stop(self) -> None:
        """Have each thread end after the job that it performs."""
        with self._has_come:
            self._is_open = False
            self._has_come.notify_all()

    def join(self, seconds: float) -> bool:
        """Wait so long for the threads to end; whether all have."""
        for thread in self._threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        stop = partial(interrupt, threading.get_ident())
        performer = Performer(partial(self._holds.begin, stop), self._grab_along)
        upkeep = Upkeep(self._aliases)
        # To ask Django for a connection takes a while.
        own = {alias: connections[alias] for alias in self._aliases}
        while job := self._next(upkeep):
            connection = own[job.alias]
            try:
                self._perform(job, performer, connection)
            except Overdue:
                self._holds.end(job)  # it may have come in the middle of that
                connections.close_all()  # wherever they were left
            for other in upkeep.opened:
                if other is not connection:  # which its performance saw to
                    self._leave_no_transaction(other)
            upkeep.tend()
        connections.close_all()

    @staticmethod
    def _leave_no_transaction(connection: BaseDatabaseWrapper) -> None:
        """Leave none to the next job, if the database can be had."""
        with suppress(AnyDatabaseError):
            leave_no_transaction(connection)

    def _next(self, upkeep: Upkeep) -> Job | None:
        while self._is_open:
            try:
                job = self._waiting.popleft()
            except IndexError:
                self._wait(upkeep)
            else:
                if len(self._waiting) <= self._few:
                    self._on_room()
                return job
        return None

    def _wait(self, upkeep: Upkeep) -> None:
        began = time.monotonic()
        with self._has_come:
            self._idle += 1
            try:
                self._on_room()
                while self._is_open and not self._waiting:
                    self._has_come.wait()
            finally:
                self._idle -= 1
        if time.monotonic() - began > DOUBT_SECONDS:
            upkeep.doubt()

    def _perform(self, job: Job, performer: Performer, connection: BaseDatabaseWrapper) -> None:
        try:
            performer.perform(job, connection)
        except Overdue:
            raise
        except BaseException:
            with suppress(BaseException):
                logger.exception("%s has no outcome: it comes back when its lease ends", job.handle)
        finally:
            self._holds.end(job)


def interrupt(thread_id: int) -> None:
    """Raise Overdue in a thread, at its next step in Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(Overdue))
