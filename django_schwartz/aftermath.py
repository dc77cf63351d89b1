"""The aftermath: what becomes of the jobs that a dead process held."""

import logging
import math
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.databases import databases_of_supervisor
from django_schwartz.dialects import LAPSED, ServerTime
from django_schwartz.engine import SIZE, Entry, Ledger
from django_schwartz.engine.holds import Holds
from django_schwartz.models import Job
from django_schwartz.signals import printable
from django_schwartz.wakeup import announce_release

logger = logging.getLogger("django_schwartz")

#: Seconds for which something is tried again that a database would not do.
PATIENCE_SECONDS = 60
#: Seconds after a death at which a grab is looked for that its process did not live to hear of: a
#: server goes on with a statement, and commits it, though nobody waits for it any more.
LOOKS = (0, 0.2, 1, 5)
#: Seconds after which a database that fails has kept us waiting; it is then left alone for PAUSES
#: times as long as it did.
SLOW_SECONDS = 0.5
PAUSES = 4

Chore = Callable[[], object]


class Aftermath:
    """Gives back, charges, and keeps suspects, for jobs of these databases.

    A process that died while it performed one job died of that one. Of several, none is charged:
    they are suspects, to be performed one at a time in a process of their own. So is what one
    performed that was killed for its silence: its database may be to blame.
    """

    def __init__(self, aliases: list[str], *, lease_seconds: int) -> None:
        self._lease_seconds = lease_seconds
        self._holds = Holds(Ledger(array("q", [0] * SIZE), aliases))
        self._databases = databases_of_supervisor(aliases)
        self._left_alone_until = dict.fromkeys(aliases, 0.0)
        #: Each with when to begin, and when to give up.
        self._chores: deque[tuple[float, float, str, Chore]] = deque()
        self._suspects: deque[Job] = deque()
        #: Whether jobs were given back some time after the death, when nobody may look for any.
        self.has_released_late = False

    @property
    def has_suspects(self) -> bool:
        return bool(self._suspects)

    @property
    def has_chores(self) -> bool:
        return bool(self._chores)

    def of_death(self, entries: Sequence[Entry], how: str) -> None:
        """A process died; these are the jobs that it held."""
        begun = [entry for entry in entries if entry.has_begun]
        if len(begun) != 1:
            self.of_silence(entries)
            return
        self.give_back([entry for entry in entries if not entry.has_begun])
        self._do(begun[0].alias, partial(_charge, begun[0], how))

    def of_silence(self, entries: Sequence[Entry]) -> None:
        """A process was killed since it gave no sign of life; these are the jobs that it held."""
        self.give_back([entry for entry in entries if not entry.has_begun])
        self.suspect([entry for entry in entries if entry.has_begun])

    def give_back(self, entries: Sequence[Entry]) -> None:
        """Let anybody grab these jobs at once."""
        for alias in {entry.alias for entry in entries}:
            mine = [entry for entry in entries if entry.alias == alias]
            self._do(alias, partial(_release, alias, mine))

    def give_back_grab(self, pid: int, number: int, aliases: list[str]) -> None:
        """The same for a grab that the process did not live to hear of."""
        for alias in aliases:
            for seconds in LOOKS:
                self._do(alias, partial(self._release_grab, alias, pid, number), after=seconds)

    def next_suspect(self) -> Entry | None:
        """A job to be performed alone now. It is not kept here any longer."""
        if not self._suspects:
            return None
        job = self._suspects.popleft()
        entry = Entry(job.jobid, job.alias, job.grabs, job.leases, has_begun=False)
        self._holds.drop([job])
        return entry

    def suspect(self, entries: Sequence[Entry]) -> None:
        """Keep these jobs until there is somebody to perform them alone."""
        for entry in entries:
            self._do(entry.alias, partial(self._suspect, entry))

    def tend(self) -> None:
        """Do what could not be done yet, and renew the leases of the suspects.

        Up to what fails again: it comes last the next time. What is for a database that kept us
        waiting waits.
        """
        for _ in range(len(self._chores)):
            since, until, alias, chore = self._chores.popleft()
            if time.monotonic() >= until:
                continue
            if time.monotonic() < since or self._is_left_alone(alias):
                self._chores.append((since, until, alias, chore))
            elif not self._attempt(until, alias, chore):
                break
        for alias in self._databases.aliases:
            if not self._is_left_alone(alias):
                self._try(alias, partial(self._holds.renew, alias), "leases are renewed soon")

    def abandon(self) -> None:
        """Give back the suspects."""
        while entry := self.next_suspect():
            self.give_back([entry])

    def _suspect(self, entry: Entry) -> None:
        rows = Job.objects.using(entry.alias)
        leased_at = time.monotonic()
        rows.held([entry]).update(grabbed_until=ServerTime() + self._lease_seconds)
        job = rows.filter(pk=entry.jobid, grabs=entry.grabs).first()
        if job is not None:
            self._suspects.append(job)
            self._holds.add(
                job, lease_seconds=self._lease_seconds, leased_at=leased_at, grab_for=math.inf
            )

    def _release_grab(self, alias: str, pid: int, number: int) -> None:
        grabbed_by = f"{socket.gethostname()[-200:]}:{pid}:"
        mine = Job.objects.using(alias).grabbed().filter(grabbed_by__startswith=grabbed_by)
        for ending in (f":{number}", f":{number}{LAPSED}"):
            if mine.filter(grabbed_by__endswith=ending).update(grabbed_until=0):
                self.has_released_late = True
        announce_release(connections[alias])

    def _do(self, alias: str, chore: Chore, *, after: float = 0) -> None:
        since = time.monotonic() + after
        until = since + PATIENCE_SECONDS
        if after:
            self._chores.append((since, until, alias, chore))
        else:
            self._attempt(until, alias, chore)

    def _attempt(self, until: float, alias: str, chore: Chore) -> bool:
        is_done = self._try(alias, chore, "tried again soon")
        if not is_done:
            self._chores.append((0, until, alias, chore))
        return is_done

    def _try(self, alias: str, chore: Chore, what_then: str) -> bool:
        began = time.monotonic()
        try:
            with self._databases.failing_over(alias):
                chore()
                return True
        except AnyDatabaseError as error:
            logger.warning("%s: %s", what_then, printable(error))
            connections.close_all()
        now = time.monotonic()
        if now - began > SLOW_SECONDS:
            self._left_alone_until[alias] = now + PAUSES * (now - began)
        return False

    def _is_left_alone(self, alias: str) -> bool:
        return time.monotonic() < self._left_alone_until[alias]


def _release(alias: str, entries: Sequence[Entry]) -> None:
    Job.objects.using(alias).release(entries)


def _charge(entry: Entry, how: str) -> None:
    job = Job.objects.using(entry.alias).held([entry]).first()
    if job is None:
        return
    try:
        job.crashed(f"The worker died: {how}.")
    except AnyDatabaseError:
        raise
    except BaseException:  # the project's code: hooks of the worker, and receivers
        logger.exception("%s: a hook or a receiver failed after its process died", job.handle)
