"""A peer's verbs, in its own environment: `python -m benchmarks.inside PEER VERB OPTIONS`.

The options are JSON, and so is the answer on standard output.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from time import monotonic_ns
from typing import Any

from benchmarks.ledger import VARIABLE, Ledger
from benchmarks.peers import PEERS
from benchmarks.peers.peer import Peer

BATCH = 1000
LOOK_SECONDS = 0.01


def reset(peer: Peer) -> None:
    peer.reset()


def enqueue(peer: Peer, first: int, count: int, warm_up: int, seconds: float) -> dict[str, Any]:
    """Dispatch one at a time, until `seconds` are over."""
    for number in range(first, first + warm_up):
        peer.enqueue(number)
    numbers = range(first + warm_up, first + count)
    start = time.perf_counter()
    done = 0
    for number in numbers:
        peer.enqueue(number)
        done += 1
        if time.perf_counter() - start > seconds:
            break
    return {"seconds": time.perf_counter() - start, "count": done}


def bulk(
    peer: Peer, first: int, count: int, warm_up: int, seconds: float, **how: Any
) -> dict[str, Any]:
    """Dispatch a thousand at a time, until `seconds` are over."""
    for batch in batches(first, warm_up):
        peer.bulk(batch, **how)
    start = time.perf_counter()
    done = 0
    for batch in batches(first + warm_up, count - warm_up):
        peer.bulk(batch, **how)
        done += len(batch)
        if time.perf_counter() - start > seconds:
            break
    return {"seconds": time.perf_counter() - start, "count": done}


def latency(peer: Peer, first: int, gaps: Sequence[float]) -> None:
    """Dispatch a job after each of the gaps, and write down when."""
    ledger = Ledger(os.environ[VARIABLE])
    for number, gap in enumerate(gaps, first):
        time.sleep(gap)
        ledger.begun[number] = monotonic_ns()
        peer.enqueue(number)
        ledger.returned[number] = monotonic_ns()


def flow(peer: Peer, first: int, count: int, window: int) -> None:
    """Dispatch in batches, so that never more than `window` jobs wait."""
    ledger = Ledger(os.environ[VARIABLE])
    for batch in batches(first, count):
        while batch[0] - first - ledger.done() > window - BATCH:
            time.sleep(LOOK_SECONDS)
        peer.bulk(batch)


def batches(first: int, count: int) -> Iterable[tuple[int, ...]]:
    return itertools.batched(range(first, first + count), BATCH)


VERBS = {verb.__name__: verb for verb in (reset, enqueue, bulk, latency, flow)}

if __name__ == "__main__":
    name, verb, options = sys.argv[1:]
    chosen = PEERS[name]
    chosen.open()
    print(json.dumps(VERBS[verb](chosen, **json.loads(options))), flush=True)
    os._exit(0)  # what a peer keeps in the background is of no interest any more
