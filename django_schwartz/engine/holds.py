"""The jobs that this process holds, each from its grab until its outcome is recorded."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from django.db import connections
from django.db.models import F

from django_schwartz.deadline import within
from django_schwartz.dialects import Lease
from django_schwartz.engine.ledger import Ledger
from django_schwartz.models import Holder, Job, OfThisProcess

#: The shortest lease, in seconds, that is renewed before it ends: of one of two not much more than
#: one may be left, since the database counts whole seconds, and one has to pass before a renewal.
LEAST_LEASE_SECONDS = 3
#: The shortest lease, in seconds, that a short grab_for makes.
SHORTEST_SECONDS = 5


#: A job's number and that of its grab: a process may hold again what it had lost.
Attempt = tuple[int, int]


class Hold(OfThisProcess):
    """Times are those of the monotonic clock, in seconds.

    No dataclass: one is made for each job, and the defaults of a class are not set one by one.
    """

    begun_at: float | None = None
    #: Has the job stop, while it is performed.
    interrupt: Callable[[], object] | None = None
    #: Whether its outcome is being recorded: then the lease stays as that was told it is.
    is_settling: bool = False
    #: Whether the settler has its outcome.
    is_queued: bool = False

    def __init__(
        self, job: Job, slot: int, lease_seconds: int, lease_ends: float, grab_for: float
    ) -> None:
        self.job = job
        self.slot = slot
        self.lease_seconds = lease_seconds
        self.lease_ends = lease_ends
        self.grab_for = grab_for

    @property
    def attempt(self) -> Attempt:
        return self.job.jobid, self.job.grabs

    @property
    def leased_at(self) -> float:
        return self.lease_ends - _whole(self.lease_seconds)

    def is_overdue(self, now: float) -> bool:
        return self.begun_at is not None and now > self.begun_at + self.grab_for


class Holds:
    """Thread-safe. What changes here is in the ledger before it is in the database."""

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        #: Who records the outcomes of what is held here, by database.
        self.holders: dict[str, Holder] = {}
        self._lock = threading.Lock()
        self._interrupting = threading.Lock()
        self._interrupted: Hold | None = None
        self._holds: set[Hold] = set()
        #: Those that are being performed, some of which have their outcome already.
        self._begun: dict[int, Hold] = {}
        #: By one of those, the jobs that are done along with it.
        self._along: dict[int, list[Job]] = {}

    def __len__(self) -> int:
        return len(self._holds)

    def __contains__(self, job: Job) -> bool:
        return job.hold in self._holds

    def add(self, job: Job, lease_seconds: int, *, leased_at: float, grab_for: float) -> None:
        """No lock is taken: it would keep the settler waiting while a large batch is added."""
        alias = job.alias
        slot = self._ledger.enter(job.jobid, alias, job.grabs, job.read_lease)
        lease_ends = leased_at + _whole(lease_seconds)
        job.hold = hold = Hold(job, slot, lease_seconds, lease_ends, grab_for)
        job.holder = self.holders.get(alias)
        self._holds.add(hold)

    def add_grabbed(
        self, jobs: Iterable[Job], lease: Lease, *, terms: Lease, leased_at: float
    ) -> None:
        """Add what was grabbed by a lease, which is renewed as long as the terms allow."""
        for job in jobs:
            funcid = vars(job)["func_id"]  # Django looks there, too, but takes a while
            grab_for = terms.seconds[funcid]
            self.add(job, lease.seconds[funcid], leased_at=leased_at, grab_for=grab_for)

    def begin(self, interrupt: Callable[[], object], job: Job) -> bool:
        """Note that the job is performed now; `interrupt` has it stop, from another thread.

        False, and nothing is noted, if its lease is over: somebody else may have it.
        """
        hold, now = job.hold, self._clock()
        if hold is None or now > hold.lease_ends:
            return False
        hold.interrupt, hold.begun_at = interrupt, now
        self._begun[id(job)] = hold
        self._ledger.begun[hold.slot] = True
        return True

    def is_performed(self, job: Job) -> bool:
        return id(job) in self._begun

    def begin_along(self, other: Job, job: Job) -> None:
        """Note that the other job, too, is at hand until that job ends."""
        other.hold.begun_at = self._clock()
        known = self._along.get(id(job), [])
        self._along[id(job)] = [*(one for one in known if one in self), other]
        self._ledger.begun[other.hold.slot] = True

    @property
    def along(self) -> int:
        """How many jobs are done along with others."""
        return sum(map(len, list(self._along.values())))

    def end(self, job: Job) -> None:
        """Note that its worker's code is done with it, and with those along.

        No lock is taken: threads that take one at each job soon wait for it at each job, every
        time until the interpreter comes to who has it.
        """
        begun = self._begun.pop(id(job), None)
        if begun:
            begun.begun_at = None
        if begun is self._interrupted:
            with self._interrupting:  # so that what is under way comes now, and not to the next job
                pass
        self._let_go(job)
        for other in self._along.pop(id(job), ()):
            self._let_go(other)

    def _let_go(self, job: Job) -> None:
        hold = job.hold
        if hold in self._holds:
            self._ledger.begun[hold.slot] = False
            if not hold.is_queued:
                self.drop([job])

    def interrupt(self, hold: Hold) -> None:
        """Have the job stop, unless its worker's code is done with it."""
        with self._interrupting:
            self._interrupted = hold  # first told, then looked: end() does so the other way round
            if hold.interrupt and id(hold.job) in self._begun:
                hold.interrupt()
            self._interrupted = None

    def stop_renewing(self, jobs: Iterable[Job]) -> float:
        """Leave their leases as they are; tells when the last of these ends, as lease_ends()."""
        ends = 0.0
        with self._lock:
            for job in jobs:
                hold = job.hold
                if hold:
                    hold.is_settling = True
                    ends = max(ends, hold.lease_ends)
        return ends

    def drop(self, jobs: Iterable[Job]) -> None:
        """Forget jobs that are not held any more."""
        slots: list[int] = []
        with self._lock:
            for job in jobs:
                hold, job.hold, job.holder = job.hold, None, None
                if hold in self._holds:
                    self._holds.remove(hold)
                    slots.append(hold.slot)
            self._ledger.strike(slots)

    def lease_ends(self, job: Job) -> float:
        """Until when nobody else can have the job, by our clock; in the past if it is not held."""
        hold = job.hold
        return hold.lease_ends if hold else 0

    def is_held(self, job: Job) -> bool:
        """Whether nobody else can have the job yet."""
        return self._clock() < self.lease_ends(job)

    def performed(self) -> list[Job]:
        """The jobs that are being performed."""
        return [hold.job for hold in list(self._begun.values())]

    def overdue(self) -> list[Hold]:
        """The holds of jobs that have been performed for longer than their grab_for."""
        now = self._clock()
        return [hold for hold in list(self._begun.values()) if hold.is_overdue(now)]

    # Renewal

    def renew(self, alias: str) -> list[Job]:
        """Make leases in a database longer of which a third is over; gives the jobs that are lost.

        Raises what the database raises; Unanswered, after a third of the lease.
        """
        lost: list[Job] = []
        for seconds, holds in self._waning(alias):
            with within(holds[0].lease_seconds / 3, connections[alias]):
                lost += self._renew_together(alias, seconds, holds)
        return lost

    def _waning(self, alias: str) -> Iterator[tuple[int, list[Hold]]]:
        """The holds to renew, by the length of their lease, and the whole seconds to renew by."""
        now = self._clock()
        groups: dict[int, list[Hold]] = defaultdict(list)
        for hold in list(self._holds):
            is_waning = now - hold.leased_at >= hold.lease_seconds / 3
            is_mine = hold.job.alias == alias and self._is_settled_by_nobody(hold)
            if is_mine and is_waning and not hold.is_overdue(now):
                groups[hold.lease_seconds].append(hold)
        for holds in groups.values():
            seconds = int(min(now - hold.leased_at for hold in holds))
            if seconds:
                yield seconds, holds

    def _renew_together(self, alias: str, seconds: int, holds: list[Hold]) -> list[Job]:
        _learn_renewals(alias, [hold.job for hold in holds if len(hold.job.leases) > 1])
        with self._lock:
            renewing = [hold for hold in holds if self._is_settled_by_nobody(hold)]
            rows = Job.objects.using(alias).held([hold.job for hold in renewing])
            for hold in renewing:
                hold.job.begin_renewal(seconds)
                self._ledger.renew(hold.slot, hold.job.leases[-1])
        renewed = rows.update(grabbed_until=F("grabbed_until") + seconds)
        lost = set() if renewed == len(renewing) else _no_longer_held(alias, renewing)
        with self._lock:
            return self._end_renewal(seconds, renewing, lost)

    def _end_renewal(self, seconds: int, holds: list[Hold], lost: set[Attempt]) -> list[Job]:
        for hold in holds:
            if hold.attempt not in lost:
                hold.job.end_renewal()
                hold.lease_ends += seconds
        gone = [h for h in holds if h.attempt in lost and self._is_settled_by_nobody(h)]
        for hold in gone:
            hold.is_settling = True  # there is nothing to renew, and it is told of but once
        return [hold.job for hold in gone]

    def _is_settled_by_nobody(self, hold: Hold) -> bool:
        return not hold.is_settling and hold in self._holds


def _whole(lease_seconds: int) -> int:
    """Seconds that are sure: a lease from 10.9 s on, 4 s long, ends at 14 by the database."""
    return lease_seconds - 1


def shortened(lease: Lease, lease_seconds: int) -> Lease:
    """The lease, as long as those that are renewed, or as the worker's grab_for if that is less.

    Long enough to be renewed, and to stop a job whose grab_for is over.
    """
    wanted = {funcid: max(s, SHORTEST_SECONDS) for funcid, s in lease.seconds.items()}
    return replace(lease, seconds={f: min(s, lease_seconds) for f, s in wanted.items()})


def _learn_renewals(alias: str, jobs: list[Job]) -> None:
    """Learn from the rows which renewals were made whose reply was lost."""
    untils = Job.objects.using(alias).in_bulk([job.jobid for job in jobs]) if jobs else {}
    for job in jobs:
        row = untils.get(job.jobid)
        job.end_renewal(was_made=row is not None and row.leases[0] == job.leases[-1])


def _no_longer_held(alias: str, holds: list[Hold]) -> set[Attempt]:
    held = Job.objects.using(alias).held([hold.job for hold in holds])
    return {hold.attempt for hold in holds} - set(held.values_list("pk", "grabs"))
