"""The scoreboard: each worker process tells what it does, and forgets those that are gone."""

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db.models.functions import Coalesce

from django_schwartz.dialects import ServerTime
from django_schwartz.exceptions import one_line
from django_schwartz.identity import process_name
from django_schwartz.memory import resident_bytes
from django_schwartz.models import Job, WorkerProcess
from django_schwartz.serializers import storable_text

#: Seconds between two beats.
BEAT_SECONDS = 10
#: Seconds between two looks after rows to be forgotten, and the most that one look takes away.
FORGET_SECONDS = 60
FORGOTTEN_AT_ONCE = 100
#: Jobs and abilities that a row tells of at most.
TOLD = 50


class Scoreboard:
    """This process's row in one database. The clock (seconds) is given, for tests to decide.

    `causes` gives the queue databases that cannot be used, and why, by alias.
    Beats of one process are for one thread. They raise what the database raises: nothing depends on
    a beat.
    """

    def __init__(
        self,
        using: str,
        *,
        abilities: Sequence[str],
        causes: Callable[[], Mapping[str, Exception]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.using = using
        self._abilities = list(abilities[:TOLD])
        self._causes = causes
        self._clock = clock
        self._forget_at = clock()

    def beat(self, jobs: Sequence[Job] = ()) -> None:
        """Tell that this process lives and performs these jobs. One statement; more at times.

        Outside of a transaction.
        """
        told: dict[str, Any] = {
            "started_at": Coalesce("started_at", ServerTime()),
            "beat_at": ServerTime(),
            "abilities": self._abilities,
            "jobs": _told(jobs),
            "away": {alias: storable_text(one_line(e)) for alias, e in self._causes().items()},
            "memory": resident_bytes(),
        }
        if not self._row.update(**told):
            self._enter()
            self._row.update(**told)
        if self._clock() >= self._forget_at:
            self._forget_at = self._clock() + FORGET_SECONDS
            self._forget()

    def leave(self) -> None:
        """This process ends: take its row away."""
        self._row.delete()

    @property
    def _row(self) -> Any:
        return WorkerProcess.objects.using(self.using).filter(pk=process_name())

    def _enter(self) -> None:
        # Its Ears may have made the row meanwhile.
        row = WorkerProcess(name=process_name(), host=socket.gethostname(), pid=os.getpid())
        WorkerProcess.objects.using(self.using).bulk_create([row], ignore_conflicts=True)

    def _forget(self) -> None:
        rows = WorkerProcess.objects.using(self.using)
        # Of those that are gone, none hears: no dispatch need be told that one waits.
        rows.gone().filter(is_idle=True).update(is_idle=False)
        if gone := list(rows.forgotten().values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
            rows.forgotten().filter(pk__in=gone).delete()


def _told(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    longest = sorted(jobs, key=lambda job: job.runtime or 0, reverse=True)[:TOLD]
    return [
        {"handle": str(job.handle), "funcname": job.funcname, "seconds": int(job.runtime or 0)}
        for job in longest
    ]
