"""What a measure works with: how much is measured, and a worker that is watched and checked."""

import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.ledger import Ledger
from benchmarks.peers.peer import VARIANTS, Peer
from benchmarks.processes import Crew
from benchmarks.stage import Stage

Result = dict[str, Any]

LOOK_SECONDS = 0.05
#: Seconds that a worker may take to perform its first job.
START_SECONDS = 60
WARM_JOBS = 5
SETTLE_SECONDS = 2
GUESSED_RATE = 300


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is measured."""

    #: Seconds that a timed piece should last.
    seconds: float
    most_jobs: int
    pickups: int
    idle_seconds: float
    #: Jobs that are due, and how many lie in front of how many due ones for later.
    queued: tuple[int, ...]
    delayed: int
    due: int
    held: int
    #: How often growth and held are repeated.
    repeats: int
    million: int


FULL = Scale(
    seconds=3,
    most_jobs=200_000,
    pickups=100,
    idle_seconds=10,
    queued=(1_000, 20_000, 100_000, 1_000_000),
    delayed=1_000_000,
    due=20_000,
    held=50_000,
    repeats=3,
    million=1_000_000,
)
QUICK = Scale(
    seconds=0.7,
    most_jobs=30_000,
    pickups=20,
    idle_seconds=3,
    queued=(1_000, 20_000),
    delayed=20_000,
    due=2_000,
    held=5_000,
    repeats=1,
    million=20_000,
)


@dataclass
class Bench:
    """What a measure works with. `rates` are what was seen so far, to size what comes."""

    stage: Stage
    scale: Scale
    chance: random.Random
    rates: dict[tuple[str, str, int], float] = field(default_factory=dict)

    def jobs_for(
        self, peer: Peer, variant: str, processes: int, most: int, times: float = 1
    ) -> int:
        """Return how many jobs keep that worker busy for about `times` the seconds of the scale."""
        rate = self.rate(peer, variant, processes)
        return round(min(most, max(200, rate * self.scale.seconds * times)))

    def rate(self, peer: Peer, variant: str, processes: int) -> float:
        single = self.rates.get((peer.name, variant, 1), GUESSED_RATE)
        return self.rates.get((peer.name, variant, processes), single)

    def perform(
        self,
        peer: Peer,
        variant: str,
        processes: int,
        *,
        due: int,
        delayed: int = 0,
        want: int | None = None,
        relayed: bool = False,
    ) -> Result:
        """Run a worker until it has performed `want` of the due jobs that are queued, or all."""
        want = want or due
        book = self.stage.ledger(due + delayed)
        slack = 30 + 6 * want / self.rate(peer, variant, processes)
        with self.stage.work(peer, variant, processes, relayed=relayed) as crew:
            wait_until(book, 1, crew, START_SECONDS)
            is_done = wait_until(book, want, crew, slack)
            resident, proportional = crew.memory()
            crew.stop()
        drain = book.drain()
        done = len(drain.performances)
        left = self.stage.left(peer)
        result = {
            "jobs": done,
            "rate": drain.rate,
            "steady_rate": drain.steady_rate,
            "processes_seen": drain.processes,
            "tenths": drain.parts,
            "resident_mib": resident,
            "proportional_mib": proportional,
            **wrong(book, lost=due + delayed - done - left, early=book.done(due)),
        }
        return result if is_done else {**result, "unfinished": want - done}


def wrong(book: Ledger, *, lost: int, early: int = 0) -> Result:
    """Return what a correct queue would not have done."""
    faults = {"performed twice": len(book.repeated()), "lost": lost, "early": early}
    return {"wrong": faults} if any(faults.values()) else {}


def wait_until(book: Ledger, count: int, crew: Crew, seconds: float) -> bool:
    """Wait until so many jobs are performed; return False when it takes too long."""
    deadline = time.monotonic() + seconds
    while book.done() < count:
        crew.check()
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def warm(bench: Bench, peer: Peer, book: Ledger, crew: Crew) -> None:
    """Have a worker perform its first jobs, and come to rest."""
    bench.stage.do(peer, "enqueue", first=0, count=WARM_JOBS, warm_up=WARM_JOBS, seconds=0)
    if not wait_until(book, WARM_JOBS, crew, START_SECONDS):
        raise RuntimeError("the worker performs nothing")
    time.sleep(SETTLE_SECONDS)


def warm_up(bench: Bench, peer: Peer) -> None:
    """See whether the peer works at all, and about how fast: with so many jobs that it shows."""
    for variant in VARIANTS:
        jobs = 0
        jobs_for = partial(bench.jobs_for, peer, variant, 1, bench.scale.most_jobs)
        while jobs < jobs_for(times=0.25):
            jobs = jobs_for(times=1 if jobs else 0)
            bench.stage.fresh(peer)
            bench.stage.fill(peer, 0, jobs)
            result = bench.perform(peer, variant, 1, due=jobs)
            bench.rates[peer.name, variant, 1] = result["rate"] or GUESSED_RATE
            if "wrong" in result:
                print(f"{peer.name} {variant}: {result['wrong']}", flush=True)
