"""The beat: a thread that runs no user code, renews leases and ends jobs that take too long."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.deadline import within
from django_schwartz.engine.holds import Holds
from django_schwartz.engine.settler import Settler
from django_schwartz.models import Job
from django_schwartz.scoreboard import BEAT_SECONDS as TELL_SECONDS
from django_schwartz.scoreboard import Scoreboard
from django_schwartz.signals import printable

logger = logging.getLogger("django_schwartz")

#: Seconds between two beats.
BEAT_SECONDS = 0.5
#: Beats that a job which was told to stop has to do so, before its process is given up.
GRACE_BEATS = 10


class Beat:
    """That of one database, so that none waits for another.

    `on_stuck` is called when a job does not stop though its time is over.
    """

    def __init__(
        self,
        holds: Holds,
        settler: Settler,
        scoreboard: Scoreboard,
        *,
        lease_seconds: int,
        on_stuck: Callable[[], object],
    ) -> None:
        self._using = scoreboard.using
        self._holds = holds
        self._settler = settler
        self._scoreboard = scoreboard
        self._lease_seconds = lease_seconds
        self._next_telling = 0.0
        self._on_stuck = on_stuck
        self._beats_over: dict[int, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            self._renew()
            self._end_overdue()
            self._tell()
        self._on_scoreboard(Scoreboard.leave)
        connections.close_all()

    def _renew(self) -> None:
        try:
            for job in self._holds.renew(self._using):
                self._settler.call(job.become_lost)  # its receivers are user code
        except AnyDatabaseError as error:
            logger.warning("leases in %r could not be renewed: %s", self._using, printable(error))
            connections[self._using].close()

    def _tell(self) -> None:
        if time.monotonic() >= self._next_telling:
            self._next_telling = time.monotonic() + TELL_SECONDS
            jobs = self._holds.performed()
            self._on_scoreboard(lambda scoreboard: scoreboard.beat(jobs))

    def _on_scoreboard(self, tell: Callable[[Scoreboard], object]) -> None:
        try:
            with within(self._lease_seconds / 3, connections[self._using]):
                tell(self._scoreboard)
        except AnyDatabaseError as error:
            logger.debug("the scoreboard in %r: %s", self._using, printable(error))
            connections[self._using].close()

    def _end_overdue(self) -> None:
        overdue = [hold for hold in self._holds.overdue() if hold.job.alias == self._using]
        self._beats_over = {id(h.job): self._beats_over.get(id(h.job), 0) + 1 for h in overdue}
        for hold in overdue:
            beats = self._beats_over[id(hold.job)]
            if beats == 1:
                hold.job.is_overdue = True
                self._settler.call(partial(fail_as_overdue, hold.job, hold.grab_for))
                self._holds.interrupt(hold)
            elif beats == GRACE_BEATS:
                self._on_stuck()


def fail_as_overdue(job: Job, grab_for: float) -> None:
    job.failed(f"The job was stopped: it took longer than its grab_for of {grab_for:g} seconds.")
