"""The engine's main thread: it grabs, and minds everything else."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.databases import patience
from django_schwartz.deadline import Unanswered, within
from django_schwartz.dialects import dialect_of
from django_schwartz.engine.along import Along, grab_none
from django_schwartz.engine.assignments import Assignments
from django_schwartz.engine.beat import Beat
from django_schwartz.engine.crew import Crew
from django_schwartz.engine.hands import Hands
from django_schwartz.engine.holds import Holds
from django_schwartz.engine.lane import Lane
from django_schwartz.engine.ledger import Farewell, Ledger
from django_schwartz.engine.loop import Loop
from django_schwartz.engine.poller import Poller
from django_schwartz.engine.scouts import Scouts
from django_schwartz.engine.settler import Settler, is_away, pauses
from django_schwartz.exceptions import one_line
from django_schwartz.lookout import Lookout
from django_schwartz.memory import resident_bytes
from django_schwartz.models import Job
from django_schwartz.scoreboard import Scoreboard
from django_schwartz.signals import printable
from django_schwartz.upgrades import Latecomers
from django_schwartz.upkeep import Upkeep
from django_schwartz.wakeup import Ears

logger = logging.getLogger("django_schwartz")

#: Jobs held, those included whose outcomes are not recorded yet.
MOST_HELD = 8000
#: Seconds between two looks at jobs that were grabbed ahead, or at what is left to finish.
LOOK_SECONDS = 0.05
#: Seconds between two signs of life while all are busy.
LIFE_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How an engine works. Durations are seconds."""

    threads: int = 4
    async_concurrency: int = 100
    lease_seconds: int = 60
    deadline_seconds: float = 5
    poll_seconds: float = 1
    until_done: bool = False
    #: After so many jobs, so many bytes of memory, or so many seconds the process ends.
    max_jobs: float = math.inf
    max_rss: float = math.inf
    max_age: float = math.inf

    @property
    def connections(self) -> int:
        """Connections to one database that a process needs, out of a pool if there is one.

        Each thread that performs jobs has one; the coroutines, the main thread, the beat and the
        settler have one each.
        """
        return self.threads + 4


def set_deadlines(aliases: Sequence[str], *, deadline_seconds: float = math.inf) -> None:
    """Have connections to these databases fail that hang, where the project says nothing of it.

    One of several is given up after `deadline_seconds`, if that is less.
    """
    most = deadline_seconds if len(aliases) > 1 else math.inf
    for alias in aliases:
        options = connections.settings[alias].setdefault("OPTIONS", {})
        deadlines = dict(dialect_of(connections[alias]).deadlines)
        if deadlines and most < deadlines["connect_timeout"]:
            deadlines["connect_timeout"] = math.ceil(most)
        for name, value in deadlines.items():
            options.setdefault(name, value)


class Engine:
    """Performs the jobs of a client's abilities, many at a time, until told to stop."""

    def __init__(
        self,
        client: TheSchwartz,
        ledger: Ledger,
        terms: Terms,
        *,
        assigned: Connection | None = None,
        missing: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`missing` are other databases, and the migrations that each lacks: it joins with them."""
        self._client = client
        self._terms = terms
        self._ledger = ledger
        self._latecomers = Latecomers(client.databases, missing or {})
        self._aliases = [*client.databases.aliases, *self._latecomers.aliases]
        client.databases.deadline_seconds = patience(
            self._aliases,
            deadline_seconds=terms.deadline_seconds,
            lease_seconds=terms.lease_seconds,
        )
        self._lookout = Lookout(client)
        self._holds = Holds(ledger)
        self._settlers = {alias: Settler(self._holds, alias) for alias in self._aliases}
        self._beats: list[Beat] = []
        watched = [] if assigned else self._aliases
        self._ears = Ears(watched, poll_seconds=terms.poll_seconds, living=client.databases)
        self._has_room = threading.Event()
        self._stopping = threading.Event()
        self._is_for_suspects = assigned is not None
        self._lanes = self._make_lanes(assigned)
        self._trouble = ""
        self._is_listening = False
        self._is_asleep = False
        self._started_at = time.monotonic()
        self.grabbed = 0
        #: Whether a job would not stop, so that the process has to end while it still runs.
        self.is_stuck = False

    def _make_lanes(self, assigned: Connection | None) -> list[Lane]:
        on_room = self._tell_of_room
        along = Along(self._holds, self._ledger, lease_seconds=self._terms.lease_seconds)
        grab_along = grab_none if assigned else along.grab
        crew = Crew(
            self._holds,
            self._aliases,
            threads=self._terms.threads,
            on_room=on_room,
            grab_along=grab_along,
        )
        if assigned:  # whatever it is, it is performed alone
            hands = self._hands(self._client.abilities)
            return [Lane(Assignments(hands, assigned, wake=self._ears.wake), crew)]
        loop = Loop(
            self._holds,
            size=self._terms.async_concurrency,
            on_room=on_room,
            grab_along=grab_along,
        )
        scouts = Scouts(self._client.databases, self._settlers, on_return=self._wake)
        return [
            Lane(Poller(self._hands(abilities), may_ask=scouts.may_ask), performers)
            for abilities, performers in (
                (partial(self._client.abilities, is_async=False), crew),
                (partial(self._client.abilities, is_async=True), loop),
            )
        ]

    def _hands(self, abilities: Callable[[], list[str]]) -> Hands:
        return Hands(
            self._client,
            self._holds,
            self._ledger,
            abilities=abilities,
            lease_seconds=self._terms.lease_seconds,
        )

    def stop(self) -> None:
        """Have run() return after the running jobs; what was not begun is given back.

        For any thread.
        """
        self._stopping.set()
        self._wake()

    def _wake(self) -> None:
        """Have the main thread look around, whatever it waits for."""
        self._has_room.set()
        self._ears.wake()

    def _tell_of_room(self) -> None:
        """The same, at little cost while it does not wait for jobs."""
        if not self._has_room.is_set():
            self._has_room.set()
        if self._is_asleep:
            self._ears.wake()

    def _give_up(self) -> None:
        self.is_stuck = True
        self.stop()

    def run(self) -> None:
        """Work until stopped, until `max_jobs` or the like, or until nothing is due."""
        self._upkeep = Upkeep(self._aliases)
        self._start()
        farewell = self._work()
        self._finish(farewell)

    def _work(self) -> Farewell:
        while not self._is_finished():
            self._ledger.show_life()
            self._lookout.look()
            self._look_for_latecomers()
            held_nothing = not len(self._holds)
            if self._fill_lanes():
                self._is_listening = False
                self._ears.hush()
            elif len(self._holds) >= MOST_HELD:
                for settler in self._settlers.values():
                    settler.catch_up(LOOK_SECONDS)
            elif not any(lane.room for lane in self._wanted_lanes):
                self._wait_for_room()
            elif not self._terms.until_done:
                self._wait_for_jobs()
            elif held_nothing and self._knows_all():
                return Farewell.DONE
            else:
                self._wait_for_room()
        is_told_to = self._stopping.is_set() and not self.is_stuck
        return Farewell.STOPPED if is_told_to else Farewell.RECYCLED

    def _start(self) -> None:
        self._client.make_functions()
        for settler in self._settlers.values():
            settler.start()
        for alias in self._client.databases.aliases:
            self._start_beat(alias)
        for lane in self._lanes:
            lane.crew.start()

    def _start_beat(self, alias: str) -> None:
        beat = Beat(
            self._holds,
            self._settlers[alias],
            Scoreboard(
                alias,
                abilities=self._client.abilities(),
                causes=lambda: self._client.databases.causes | self._latecomers.causes,
            ),
            lease_seconds=self._terms.lease_seconds,
            on_stuck=self._give_up,
        )
        self._beats.append(beat)
        beat.start()

    def _look_for_latecomers(self) -> None:
        for alias in self._latecomers.joined():
            self._client.make_functions_in(alias)
            self._start_beat(alias)
        for alias in self._latecomers.due():
            self._settlers[alias].call(partial(self._latecomers.look_at, alias))

    def _is_finished(self) -> bool:
        return self._stopping.is_set() or self._is_spent()

    @property
    def _wanted(self) -> float:
        return self._terms.max_jobs - self.grabbed

    def _is_spent(self) -> bool:
        """Whether it has done its share: at least a job, whatever its memory."""
        if self._has_waiting:  # they are a part of it
            return False
        terms = self._terms
        return (
            self._wanted < 1  # max_jobs with its jitter is no whole number
            or time.monotonic() > self._started_at + terms.max_age
            or (self.grabbed > 0 and self._holds_too_much())
        )

    def _holds_too_much(self) -> bool:
        most = self._terms.max_rss
        return most < math.inf and (resident_bytes() or 0) > most

    def _fill_lanes(self) -> int:
        """Grab for each lane what it has room for, and tell how much. Databases may be away."""
        self._has_room.clear()
        grabbed = 0
        try:
            for lane in self._lanes:
                jobs = lane.fill(min(self._wanted, MOST_HELD - len(self._holds)))
                grabbed += len(jobs)
                self.grabbed += len(jobs)
            self._note_trouble("")
        except AnyDatabaseError as error:
            self._note_trouble(f"{type(error).__name__}: {error}")
        finally:
            self._upkeep.tend()
        return grabbed

    def _note_trouble(self, trouble: str) -> None:
        """Log trouble when it begins, not each time that it is met."""
        if trouble and trouble != self._trouble:
            logger.error("cannot go on for now, trying again: %s", printable(one_line(trouble)))
        self._trouble = trouble

    def _knows_all(self) -> bool:
        """Whether every database answered: one that is away may well have jobs that are due."""
        has_heard = all(lane.has_heard for lane in self._wanted_lanes)
        is_any_away = self._client.databases.causes or self._latecomers.aliases
        return has_heard and not is_any_away and not self._trouble

    @property
    def _wanted_lanes(self) -> list[Lane]:
        return [lane for lane in self._lanes if lane.is_wanted]

    def _wait_for_room(self) -> None:
        is_short = self._has_waiting or self._terms.until_done
        self._has_room.wait(LOOK_SECONDS if is_short else LIFE_SECONDS)
        self._give_back_hoarded()

    def _give_back_hoarded(self) -> None:
        for lane in self._lanes:
            self._give_back(lane.take_hoarded())

    def _wait_for_jobs(self) -> None:
        self._ears.listen()
        if not self._is_listening:
            self._is_listening = True  # the databases are asked once more before the first wait
            return
        self._is_asleep = True
        if not self._has_room.is_set():
            # The next suspect waits until the outcome of the one before is recorded.
            is_short = self._has_waiting or (self._is_for_suspects and len(self._holds))
            self._ears.wait(LOOK_SECONDS if is_short else self._seconds_until_due)
        self._is_asleep = False
        self._give_back_hoarded()

    @property
    def _seconds_until_due(self) -> float:
        """Seconds until a time comes that a job waits for, or a lease ends whose holder is dead."""
        return min(lane.due_at for lane in self._lanes) - time.monotonic()

    @property
    def _has_waiting(self) -> bool:
        return any(lane.crew.waiting for lane in self._lanes)

    def _give_back(self, jobs: list[Job]) -> None:
        """Have the settlers do it, so that no database keeps the others waiting."""
        self.grabbed -= len(jobs)
        self._holds.stop_renewing(jobs)
        for alias in {job.alias for job in jobs}:
            mine = [job for job in jobs if job.alias == alias]
            self._settlers[alias].call(partial(self._release, alias, mine))

    def _release(self, alias: str, jobs: list[Job]) -> None:
        """Until their leases end: what is not given back by then is taken for a death's."""
        for pause in pauses():
            try:
                _release(alias, jobs, within_seconds=self._terms.lease_seconds)
                break
            except AnyDatabaseError as error:
                is_held = any(map(self._holds.is_held, jobs))
                if self._stopping.is_set() or not is_held or not is_away(alias, error):
                    logger.warning("%d jobs were not given back: %s", len(jobs), printable(error))
                    break
            time.sleep(pause)
        self._holds.drop(jobs)

    def _finish(self, farewell: Farewell) -> None:
        for lane in self._lanes:
            self._give_back(lane.crew.take_back())
            lane.crew.stop()
        while not all([lane.crew.join(LOOK_SECONDS) for lane in self._lanes]):  # noqa: C419
            self._ledger.show_life()
            if self.is_stuck and len(self._holds.overdue()) == len(self._holds.performed()):
                break
        for settler in self._settlers.values():
            settler.stop()
        for beat in self._beats:
            beat.stop()
        self._ears.close()
        self._ledger.farewell = farewell


def _release(alias: str, jobs: list[Job], *, within_seconds: float) -> None:
    """Give jobs back, over a new connection where the old one was cut."""
    try:
        with within(within_seconds, connections[alias]):
            Job.objects.using(alias).release(jobs)
    except Unanswered:
        raise
    except AnyDatabaseError:
        connections[alias].close()
        Job.objects.using(alias).release(jobs)
