"""The supervisor: starts worker processes, replaces them, and cleans up after those that die."""

import logging
import os
import signal
import socket
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from django_schwartz import child
from django_schwartz.aftermath import Aftermath
from django_schwartz.databases import databases_of_supervisor
from django_schwartz.engine import SIZE, Entry, Farewell, Ledger
from django_schwartz.healthcheck import Healthcheck
from django_schwartz.housekeeping import Housekeeping
from django_schwartz.logs import enumerated
from django_schwartz.os_signals import dump_stacks, obey, told_to_stop
from django_schwartz.starting import UNKNOWN, context, is_alive, start
from django_schwartz.upgrades import Latecomers

logger = logging.getLogger("django_schwartz")

#: That of a place that had no process yet: many never have one.
NO_LEDGER = Ledger(array("q", [0] * SIZE), [])
#: Seconds between two looks at everything, when nothing happens.
LOOK_SECONDS = 0.5
#: Seconds until a process that died before it was ready is started again: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30
#: Seconds without a sign of life after which a process is replaced, in leases.
SILENT_LEASES = 2


class Slot:
    """The place of one worker process after the other."""

    def __init__(self, name: str, orders: child.Orders) -> None:
        self.name = name
        self.orders = orders
        self.process: BaseProcess | None = None
        self.ledger = NO_LEDGER
        self.is_done = False
        #: Seconds without a sign of life for which the process was killed: soon it is gone.
        self.silent_seconds = 0.0
        self._start_at = 0.0
        self._started_at = 0.0
        #: When the first process was started of those in a row that died without a sign of life.
        self._expected_since = time.monotonic()
        self._pause = FIRST_PAUSE

    @property
    def is_free(self) -> bool:
        return self.process is None

    def may_start(self) -> bool:
        return self.is_free and not self.is_done and time.monotonic() >= self._start_at

    def start(self, assigned: Connection | None = None) -> None:
        """Start a process. The operating system may have none to give: then it is tried later."""
        if self._pause == FIRST_PAUSE:
            self._expected_since = time.monotonic()
        memory = context().RawArray("q", SIZE)
        self.ledger = Ledger(memory, self.orders.databases)
        arguments = (self.orders, self.name, memory, assigned)
        process = context().Process(target=child.main, args=arguments, name=self.name)
        try:
            start(process)
        except (OSError, EOFError) as error:
            logger.warning("%s could not be started, trying again: %r", self.name, error)
            self.clear()
            return
        self.process, self.silent_seconds = process, 0
        self._started_at = time.monotonic()

    def clear(self) -> None:
        """Forget the dead process, and decide when the next may start."""
        self.process = None
        if self.ledger.last_life:
            self._pause = FIRST_PAUSE
            self._start_at = 0
        else:
            self._start_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    @property
    def last_life(self) -> float:
        return max(self.ledger.last_life, self._started_at)

    @property
    def health(self) -> float:
        """The last sign of life; where processes die before they give one, from when on."""
        return max(self.ledger.last_life, self._expected_since)

    @property
    def is_orphan(self) -> bool:
        """Whether the process lives on, but not its fork server, which alone could tell its end."""
        process = self.process
        return process is not None and process.exitcode == UNKNOWN and is_alive(process.pid or 0)

    @property
    def sentinel(self) -> list[int]:
        return [] if self.process is None or self.is_orphan else [self.process.sentinel]

    def send_signal(self, number: int) -> None:
        if self.process is not None and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Solo(Slot):
    """The place of a process that performs suspects, one at a time."""

    def __init__(self, name: str, orders: child.Orders) -> None:
        terms = {**orders.terms, "threads": 1, "async_concurrency": 1, "until_done": False}
        # A job that silences the process is charged while its lease holds, a third of which may be
        # over: else another process grabs it, which it silences as well.
        terms["lease_seconds"] *= 2 * SILENT_LEASES
        super().__init__(name, replace(orders, terms=terms))
        self.assigned: Entry | None = None
        self._ours: Connection | None = None

    def start(self, assigned: Connection | None = None) -> None:
        self._ours, theirs = context().Pipe()
        super().start(theirs)
        theirs.close()

    def assign(self, entry: Entry) -> None:
        self.assigned = entry
        if self._ours is not None:
            with suppress(OSError):  # it died: its burial will see to the entry
                self._ours.send(entry)

    def take_back(self, entries: list[Entry]) -> list[Entry]:
        """What was assigned to the dead process and is not among what it held: it never began."""
        assigned, self.assigned = self.assigned, None
        is_held = assigned and any(entry.jobid == assigned.jobid for entry in entries)
        return [] if assigned is None or is_held else [assigned]

    def hear(self) -> None:
        """Learn whether the assigned job is done with."""
        with suppress(OSError, EOFError):
            while self._ours is not None and self._ours.poll():
                self._ours.recv()
                self.assigned = None

    @property
    def channel(self) -> list[Connection]:
        return [self._ours] if self._ours is not None and not self._ours.closed else []

    def clear(self) -> None:
        self.hear()
        if self._ours is not None:
            self._ours.close()
        super().clear()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many processes, and how they end. Durations are seconds."""

    processes: int = 1
    shutdown_timeout: float = 30
    healthcheck: Path | None = None


class Supervisor:
    """Keeps `processes` at work until told to stop, or until all of them are done."""

    def __init__(self, orders: child.Orders, plan: Plan) -> None:
        self._orders = orders
        self._plan = plan
        self._slots = [Slot(f"worker {n}", orders) for n in range(1, plan.processes + 1)]
        # As many as the processes have threads, for the jobs of dead ones to go on at once.
        numbers = range(1, plan.processes * orders.terms["threads"] + 1)
        self._solos = [Solo(f"worker {n} of suspects", orders) for n in numbers]
        self._lease_seconds = int(orders.terms["lease_seconds"])
        self._aftermath = Aftermath(orders.databases, lease_seconds=self._lease_seconds)
        ready = [alias for alias in orders.databases if alias not in orders.missing]
        databases = databases_of_supervisor(ready)
        self._housekeeping = Housekeeping(databases, is_over=lambda: self.is_stopping)
        self._latecomers = Latecomers(databases, orders.missing)
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._kill_at: float | None = None
        self._has_released = False
        self._healthcheck = Healthcheck(plan.healthcheck) if plan.healthcheck else None
        #: The signal that had the processes killed, if one had.
        self.killed_by = 0

    @property
    def is_stopping(self) -> bool:
        return self._kill_at is not None

    @property
    def _all(self) -> list[Slot]:
        return [*self._slots, *self._solos]

    def run(self) -> None:
        child.set_title(f"supervisor of {len(self._slots)} processes")
        try:
            self._supervise()
        finally:
            self._signal_all(signal.SIGKILL)  # of an end in order nothing is left
            self._woken.close()
            self._waker.close()

    def _supervise(self) -> None:
        while not self._is_over():
            if self.is_stopping:
                self._signal_all(signal.SIGTERM)  # one may have been starting when that came
            else:
                self._start_missing()
                self._assign_suspects()
                self._latecomers.look()
                self._housekeeping.keep()
            self._show_health()
            self._wait()
            self._bury_dead()
            self._kill_silent()
            self._aftermath.tend()
            if self._aftermath.has_released_late:
                self._has_released, self._aftermath.has_released_late = True, False
        self._aftermath.abandon()

    def stop(self, number: int = 0) -> None:
        """Have the processes finish what runs; the second time, end them at once."""
        if self.is_stopping:
            self.killed_by = number
            self._kill_at = 0
        else:
            self._kill_at = time.monotonic() + self._plan.shutdown_timeout
            self._signal_all(signal.SIGTERM)
        self._wake()

    def dump_stacks(self, number: int) -> None:
        dump_stacks(number)
        self._signal_all(signal.SIGUSR1)

    def _signal_all(self, number: int) -> None:
        for slot in self._all:
            slot.send_signal(number)

    def _wake(self) -> None:
        with suppress(OSError):
            self._waker.send(b"\0")

    def _is_over(self) -> bool:
        if not all(slot.is_free for slot in self._all):
            return False
        is_work_left = (
            self._has_released or self._aftermath.has_suspects or self._aftermath.has_chores
        )
        return self.is_stopping or (all(slot.is_done for slot in self._slots) and not is_work_left)

    def _start_missing(self) -> None:
        if self._has_released and all(slot.is_done for slot in self._slots):
            self._slots[0].is_done = self._has_released = False
        for slot in self._slots:
            if slot.may_start():
                slot.start()

    def _assign_suspects(self) -> None:
        for solo in self._solos:
            if solo.assigned is None and self._aftermath.has_suspects:
                if solo.may_start():
                    solo.start()
                if not solo.is_free and (entry := self._aftermath.next_suspect()):
                    solo.assign(entry)
            elif solo.assigned is None and not solo.is_free:
                solo.send_signal(signal.SIGTERM)

    def _wait(self) -> None:
        sentinels = [sentinel for slot in self._all for sentinel in slot.sentinel]
        channels = [channel for solo in self._solos for channel in solo.channel]
        connection.wait([*sentinels, *channels, self._woken], timeout=LOOK_SECONDS)
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        for solo in self._solos:
            solo.hear()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._signal_all(signal.SIGKILL)

    def _bury_dead(self) -> None:
        for slot in self._all:
            if slot.is_orphan:
                slot.send_signal(signal.SIGTERM)
            elif slot.process is not None and slot.process.exitcode is not None:
                self._bury(slot, slot.process)

    def _bury(self, slot: Slot, process: BaseProcess) -> None:
        slot.clear()
        entries = list(slot.ledger.entries())
        slot.is_done = slot.ledger.farewell is Farewell.DONE
        for number in slot.ledger.open_grabs:
            self._aftermath.give_back_grab(process.pid or 0, number, self._orders.databases)
        if slot.ledger.farewell or self.is_stopping:
            _note_end(slot, process, entries)
            self._aftermath.give_back(entries)
        elif slot.silent_seconds and not isinstance(slot, Solo):
            self._aftermath.of_silence(entries)
        else:
            self._note_death(slot, process, entries)
        if isinstance(slot, Solo):
            self._aftermath.suspect(slot.take_back(entries))

    def _note_death(self, slot: Slot, process: BaseProcess, entries: list[Entry]) -> None:
        how = told(process.exitcode or 0)
        if slot.silent_seconds:
            how = f"it gave no sign of life for {slot.silent_seconds:.0f} s"
        logger.error("%s (%s) died: %s", slot.name, process.pid, how)
        self._has_released = True
        self._aftermath.of_death(entries, how)

    def _kill_silent(self) -> None:
        """Kill a process whose main thread is stuck: its database hangs, or a job does."""
        for slot in self._all:
            silent = time.monotonic() - slot.last_life
            is_dying = slot.is_free or slot.silent_seconds
            if not is_dying and silent > SILENT_LEASES * self._lease_seconds:
                logger.error("%s gave no sign of life for %d s: replaced", slot.name, silent)
                slot.silent_seconds = silent
                slot.send_signal(signal.SIGKILL)

    def _show_health(self) -> None:
        """Date the file to the oldest of the latest signs of life of the places."""
        if self._healthcheck:
            now = time.monotonic()
            lives = [slot.health for slot in self._slots if self._is_wanted(slot)]
            solos = [solo.last_life for solo in self._solos if not solo.is_free]
            self._healthcheck.date(age=now - min([*lives, *solos], default=now))

    def _is_wanted(self, slot: Slot) -> bool:
        """Whether a process should be at work there, and not only end in order."""
        return not slot.is_free or not (slot.is_done or self.is_stopping)


def _note_end(slot: Slot, process: BaseProcess, entries: list[Entry]) -> None:
    """Log the end of a process that was told to, or is to be replaced."""
    cut_off = [f"{entry.alias}-{entry.jobid}" for entry in entries if entry.has_begun]
    if cut_off:
        told_of = enumerated(cut_off, most=20)
        logger.warning("%s (%s) was cut off from %s: given back", slot.name, process.pid, told_of)
    elif slot.ledger.farewell is Farewell.RECYCLED:
        logger.info("%s (%s) has done its share: replaced", slot.name, process.pid)


def told(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    with suppress(ValueError):
        return f"signal {-exit_code} ({signal.Signals(-exit_code).name})"
    return f"signal {-exit_code}"


@contextmanager
def obeying_signals(supervisor: Supervisor) -> Iterator[None]:
    """Signals stop the supervisor, and SIGUSR1 shows where it is."""

    def stop(number: int) -> None:
        logger.info("%s: finishing what runs", signal.Signals(number).name)
        supervisor.stop(number)

    end = obey({**dict.fromkeys(told_to_stop(), stop), signal.SIGUSR1: supervisor.dump_stacks})
    try:
        yield
    finally:
        end()
