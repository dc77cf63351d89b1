"""What is measured, in rounds: a function each, which returns figures for one peer.

A figure stands for nothing unless `wrong` is absent: every job was performed exactly once, and
nothing was left in the queue.
"""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.bench import (
    START_SECONDS,
    WARM_JOBS,
    Bench,
    Result,
    wait_until,
    warm,
    wrong,
)
from benchmarks.marathon import LONG
from benchmarks.peers.peer import VARIANTS, Peer

#: Seconds between two dispatches to an idle worker, on average: exponential, as independent ones.
MEAN_GAP_SECONDS = 0.1


# Dispatch


def enqueue(bench: Bench, peer: Peer) -> Result:
    """Dispatch jobs one at a time, each in a commit of its own."""
    return dispatch(bench, peer, "enqueue", warm_up=20)


def bulk(bench: Bench, peer: Peer) -> Result:
    """Dispatch jobs by the thousand."""
    return dispatch(bench, peer, "bulk", warm_up=1000)


def dispatch(bench: Bench, peer: Peer, verb: str, warm_up: int) -> Result:
    bench.stage.fresh(peer)
    count = 10 * bench.scale.most_jobs
    seconds = bench.scale.seconds
    done = bench.stage.do(peer, verb, first=0, count=count, warm_up=warm_up, seconds=seconds)
    lost = warm_up + done["count"] - bench.stage.left(peer)
    fault = {"wrong": {"lost": lost}} if lost else {}
    return {"jobs": done["count"], "rate": done["count"] / done["seconds"], **fault}


# Work


def drain(bench: Bench, peer: Peer, variant: str, processes: int) -> Result:
    """Work off a queue that was filled before."""
    most = bench.scale.most_jobs
    jobs = bench.jobs_for(peer, variant, processes, most, times=1 + (processes > 1))
    bench.stage.fresh(peer)
    bench.stage.fill(peer, 0, jobs)
    bench.stage.analyze(peer)
    result = bench.perform(peer, variant, processes, due=jobs)
    if result["rate"]:
        bench.rates[peer.name, variant, processes] = result["rate"]
    return result


def pickup(bench: Bench, peer: Peer, variant: str) -> Result:
    """Dispatch single jobs to an idle worker: how long until each is performed?"""
    count = bench.scale.pickups
    gaps = [bench.chance.expovariate(1 / MEAN_GAP_SECONDS) for _ in range(count)]
    bench.stage.fresh(peer)
    book = bench.stage.ledger(WARM_JOBS + count)
    with bench.stage.work(peer, variant) as crew:
        warm(bench, peer, book, crew)
        bench.stage.do(peer, "latency", first=WARM_JOBS, gaps=gaps)
        is_done = wait_until(book, book.size, crew, START_SECONDS)
        crew.stop()
    waited, since_begun = book.pickups(WARM_JOBS)
    return {
        "milliseconds": waited,
        "milliseconds_since_begun": since_begun,
        **wrong(book, lost=book.size - book.done() if not is_done else bench.stage.left(peer)),
    }


def idle(bench: Bench, peer: Peer, variant: str) -> Result:
    """Let a worker wait for nothing: what does it cost?"""
    bench.stage.fresh(peer)
    book = bench.stage.ledger(WARM_JOBS)
    seconds = bench.scale.idle_seconds
    relayed = peer.is_in_postgresql
    with (
        bench.stage.counting() as counts,
        bench.stage.work(peer, variant, relayed=relayed) as crew,
    ):
        warm(bench, peer, book, crew)
        before, cpu, start = counts.read()[0], crew.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        lasted = time.monotonic() - start
        resident, proportional = crew.memory()
        return {
            "cpu_percent": 100 * (crew.cpu_seconds() - cpu) / lasted,
            "statements_per_second": (counts.read()[0] - before) / lasted if relayed else None,
            "processes": len(crew.pids()),
            "resident_mib": resident,
            "proportional_mib": proportional,
            **wrong(book, lost=bench.stage.left(peer)),
        }


def statements(bench: Bench, peer: Peer, variant: str) -> Result:
    """Count statements, commits and bytes of WAL; the worker's start is among them."""
    stage = bench.stage
    jobs = bench.jobs_for(peer, variant, 1, 20_000, times=2)
    with stage.counting() as counts:
        stage.fresh(peer)
        dispatches = []
        for count in (10, 110):
            before = counts.read()[0]
            how = {"first": 0, "count": count, "warm_up": count, "seconds": 0}
            stage.do(peer, "enqueue", relayed=True, **how)
            dispatches.append(counts.read()[0] - before)
        stage.fresh(peer)
        stage.fill(peer, 0, jobs)
        stage.analyze(peer)
        asked, wal, commits = counts.read(), stage.wal_bytes(), stage.commits(peer)
        result = bench.perform(peer, variant, 1, due=jobs, relayed=True)
        done = counts.read()
    return {
        "statements_per_dispatch": (dispatches[1] - dispatches[0]) / 100,
        "statements_per_job": (done[0] - asked[0]) / result["jobs"],
        "round_trips_per_job": (done[1] - asked[1]) / result["jobs"],
        "commits_per_job": (stage.commits(peer) - commits) / result["jobs"],
        "wal_bytes_per_job": (stage.wal_bytes() - wal) / result["jobs"],
        **{key: result[key] for key in ("jobs", "wrong", "unfinished") if key in result},
    }


# Which of them, for whom

#: The limit is taken so often in a round, since everything in the round is divided by it.
REPEATS_OF_LIMIT = 3

INTERLEAVED: dict[str, Callable[..., Result]] = {
    measure.__name__: measure for measure in (enqueue, bulk, drain, pickup, idle, statements)
}


def pieces_of_round(name: str, peer: Peer) -> list[dict[str, Any]]:
    """Return the arguments with which a measure is to be taken of a peer in one round."""
    often = REPEATS_OF_LIMIT if name in ("enqueue", "bulk", "drain") else 1
    repeats = 1 if peer.is_worker else often
    return cases(name, peer) * repeats


def cases(name: str, peer: Peer) -> list[dict[str, Any]]:
    """Return the arguments with which a measure may be taken of a peer; none if it has none."""
    if name == "bulk" and not peer.has_bulk:
        return []
    if name in ("pickup", "idle", "memory") and not peer.is_worker:
        return []
    if name in ("statements", *LONG) and not peer.is_in_postgresql:
        return []
    if name == "databases" and peer.name != "django_schwartz":
        return []
    if name == "drain":
        return [{"variant": v, "processes": n} for v in VARIANTS for n in (1, 2)]
    if name in ("pickup", "idle", "statements"):
        return [{"variant": variant} for variant in VARIANTS]
    return [{}]
