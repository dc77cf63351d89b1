"""The faults: what is done to workers, hosts, sessions and servers, by a seed."""

import heapq
import os
import random
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.dialects import dialect_of
from django_schwartz.exceptions import SchwartzError
from django_schwartz.torture import sessions
from django_schwartz.torture.hosts import Host, Sightings
from django_schwartz.torture.ledger import Event, Ledger

#: Sessions cut at once, at the most.
MOST_CUT = 4
#: Seconds between two restarts of the database.
RESTARTS_APART = 10
#: Seconds for which the lock of a database is held that has but one.
LOCK_SECONDS = 0.5
#: Seconds without that lock after which whoever was frozen is taken to have it.
FROZEN_LOCK_SECONDS = 1


class HostFailed(SchwartzError):
    """A supervisor gave up."""


class RestartFailed(SchwartzError):
    """The command that restarts the database did not."""


class Faults:
    """Provokes one fault after the other, and has what fell stand up again."""

    def __init__(
        self,
        hosts: Sequence[Host],
        sightings: Sightings,
        ledger: Ledger,
        chance: random.Random,
        *,
        lease_seconds: int,
        restart_command: str = "",
    ) -> None:
        self._hosts = hosts
        self._sightings = sightings
        self._ledger = ledger
        self._chance = chance
        self._lease_seconds = lease_seconds
        self._restart_command = shlex.split(restart_command)
        self._stopped: set[int] = set()
        self._restarted_at = time.monotonic()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._turns = count()
        self._kinds: dict[Callable[[], object], int] = {
            self._kill_worker: 120,
            self._stop_worker: 12,
            self._end_host: 3,
            self._kill_supervisor: 3,
            self._kill_host: 3,
            self._cut_sessions: 8,
            self._hold_lock: 3,
        }

    def provoke(self) -> None:
        """Provoke a fault, if what it falls upon is there."""
        self._sightings.look()
        if self._restart_command and time.monotonic() > self._restarted_at + RESTARTS_APART:
            self._restart_database()  # not by chance: a short storm might come to its end without
            return
        [kind] = self._chance.choices(list(self._kinds), list(self._kinds.values()))
        kind()

    def mend(self) -> None:
        """Continue what was stopped for long enough, and start what is down."""
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        for host in self._hosts:
            if host.has_failed:
                raise HostFailed(f"runschwartz ended by itself: see {host.log.name}")
            if not host.is_up:
                host.start()

    def thaw(self) -> None:
        """Continue all that was stopped."""
        for _, _, mending in self._later:
            mending()
        self._later.clear()

    # Processes

    def _kill_worker(self) -> None:
        for pid in self._some_worker():
            self._note("SIGKILL of a worker", pid)
            _signal(pid, signal.SIGKILL)

    def _stop_worker(self) -> None:
        """Freeze a worker until somebody else has its jobs, or nearly."""
        for pid in self._some_worker():
            self._stopped.add(pid)
            seconds = self._lease_seconds * self._chance.uniform(0.8, 1.6)
            self._note("SIGSTOP of a worker", pid, seconds=seconds)
            _signal(pid, signal.SIGSTOP)
            self._do_later(seconds, partial(self._continue, pid))
            if any(map(is_locked, self._aliases)):
                self._note("freeze of a database", seconds=seconds)

    def _continue(self, pid: int) -> None:
        _signal(pid, signal.SIGCONT)
        self._stopped.discard(pid)

    def _end_host(self) -> None:
        for host in self._some_host():
            self._note("SIGTERM of a host", host.pid)
            host.send_signal(signal.SIGTERM)

    def _kill_supervisor(self) -> None:
        for host in self._some_host():
            self._note("SIGKILL of a supervisor", host.pid)
            host.send_signal(signal.SIGKILL)

    def _kill_host(self) -> None:
        for host in self._some_host():
            self._note("SIGKILL of a host", host.pid)
            host.kill_all()

    def _some_host(self) -> list[Host]:
        """One that is up and at work, or none."""
        working = [host for host in self._hosts if host.is_up and self._sightings.workers_of(host)]
        return [self._chance.choice(working)] if working else []

    def _some_worker(self) -> list[int]:
        """One that is not frozen, and has a job at hand if any has; or none."""
        workers = {pid for host in self._hosts for pid in self._sightings.workers_of(host)}
        awake = sorted(workers - self._stopped)
        busy = [pid for pid in awake if self._sightings.performed[pid]]
        return [self._chance.choice(busy or awake)] if awake else []

    # Databases

    def _cut_sessions(self) -> None:
        aliases = sorted({alias for alias, _ in self._sightings.sessions})
        for alias in aliases:
            with _may_be_away(alias):
                names = {name for other, name in self._sightings.sessions if other == alias}
                living = sorted(sessions.living(alias, names))
                for name in self._chance.sample(living, min(len(living), MOST_CUT)):
                    self._note("cut of a session")
                    sessions.cut(alias, name)

    def _hold_lock(self) -> None:
        """Write for a while into a database that only one can write to; what is frozen may, too."""
        for alias in () if self._stopped else self._aliases:
            if _has_one_writer(alias):
                self._note("lock of a database")
                with _may_be_away(alias), connections[alias].cursor() as cursor:
                    cursor.execute("BEGIN IMMEDIATE")
                    time.sleep(LOCK_SECONDS)
                    cursor.execute("ROLLBACK")

    def _restart_database(self) -> None:
        self._note("restart of the database")
        command, log = shlex.join(self._restart_command), self._hosts[0].log
        # Not into a pipe, whose end never comes while the server that was started holds it.
        code = subprocess.call(  # noqa: S603 - the user's own
            self._restart_command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        if code:
            raise RestartFailed(f"{command} ended with exit code {code}: see {log.name}")
        self._restarted_at = time.monotonic()

    @property
    def _aliases(self) -> list[str]:
        return self._hosts[0].rules.databases

    def _note(self, kind: str, pid: int = 0, *, seconds: float = 0) -> None:
        self._ledger.write(Event.FAULT, kind, pid=pid, seconds=seconds)

    def _do_later(self, seconds: float, mending: Callable[[], object]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._turns), mending))


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _has_one_writer(alias: str) -> bool:
    return dialect_of(connections[alias]).has_one_writer


def is_locked(alias: str) -> bool:
    """Whether the lock of a database that has but one is not to be had."""
    if not _has_one_writer(alias):
        return False
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {1000 * FROZEN_LOCK_SECONDS}")
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
    except AnyDatabaseError:
        return True
    finally:
        connections[alias].close()  # and with it that timeout
    return False


@contextmanager
def _may_be_away(alias: str) -> Iterator[None]:
    """Let a database be away: another fault had it so."""
    try:
        yield
    except AnyDatabaseError:
        connections[alias].close()
