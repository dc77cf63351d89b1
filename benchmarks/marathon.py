"""What takes long, and compares a peer with itself: growth of cost, a held transaction, memory."""

import time
from collections.abc import Callable, Iterator

from benchmarks.bench import Bench, Result, wrong
from benchmarks.peers.peer import LATER_SECONDS, Peer
from benchmarks.several import databases

#: Jobs that wait at most while a million flow.
WINDOW = 20_000


def growth(bench: Bench, peer: Peer) -> Iterator[Result]:
    """Work off queues of several lengths, and one behind many jobs that are not due."""
    scale = bench.scale
    cases: list[tuple[str, int, int]] = [("due", count, 0) for count in scale.queued]
    cases += [("delayed", scale.due, scale.delayed), ("delayed urgent", scale.due, scale.delayed)]
    names = [f"case{number}" for number, _ in enumerate(cases)]
    try:
        for name, (kind, due, delayed) in zip(names, cases, strict=True):
            prepare(bench, peer, name, due, delayed, urgent=kind == "delayed urgent")
        for repeat in range(scale.repeats):
            for name, case in bench.chance.sample([*zip(names, cases, strict=True)], len(cases)):
                yield {"repeat": repeat, **grown(bench, peer, name, *case)}
    finally:
        for name in names:
            bench.stage.drop_template(peer, name)


def prepare(
    bench: Bench, peer: Peer, name: str, due: int, delayed: int, *, urgent: bool = False
) -> None:
    """Make a template with the delayed jobs, which come first, and the due ones."""
    bench.stage.fresh(peer)
    if delayed:
        bench.stage.fill(peer, due, delayed, delay=LATER_SECONDS, urgent=urgent)
    bench.stage.fill(peer, 0, due)
    bench.stage.analyze(peer)
    bench.stage.make_template(peer, name)


def grown(bench: Bench, peer: Peer, name: str, kind: str, due: int, delayed: int) -> Result:
    bench.stage.fresh(peer, name)
    want = min(due, bench.jobs_for(peer, "best", 1, due, times=2))
    result = bench.perform(peer, "best", 1, due=due, delayed=delayed, want=want)
    return {"kind": kind, "due": due, "delayed": delayed, "variant": "best", **result}


def held(bench: Bench, peer: Peer) -> Iterator[Result]:
    """Work off a queue while somebody's transaction keeps what is deleted from being vacuumed."""
    scale = bench.scale
    jobs = bench.jobs_for(peer, "best", 1, scale.held, times=6)
    for repeat in range(scale.repeats):
        for is_held in bench.chance.sample((True, False), 2):
            bench.stage.fresh(peer)
            bench.stage.fill(peer, 0, jobs)
            bench.stage.analyze(peer)
            with bench.stage.connect(peer) as connection:
                if is_held:
                    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                    connection.execute("SELECT pg_current_xact_id()")
                result = bench.perform(peer, "best", 1, due=jobs)
            yield {"repeat": repeat, "held": is_held, "variant": "best", **result}


def memory(bench: Bench, peer: Peer) -> Iterator[Result]:
    """Have a worker perform a million jobs, and look at its memory on the way."""
    stage, count = bench.stage, bench.scale.million
    stage.fresh(peer)
    book = stage.ledger(count)
    series = []
    deadline = time.monotonic() + 60 + 6 * count / bench.rate(peer, "default", 1)
    with (
        stage.work(peer, "default") as crew,
        stage.doing(peer, "flow", first=0, count=count, window=WINDOW),
    ):
        while (done := book.done()) < count and time.monotonic() < deadline:
            crew.check()
            series.append((done, *crew.memory()))
            time.sleep(1)
        series.append((done, *crew.memory()))
        crew.stop()
    lost = count - done - stage.left(peer) if done == count else 0
    result = {"variant": "default", "jobs": done, "series": series, "rate": book.drain().rate}
    yield {**result, **wrong(book, lost=lost)}


LONG: dict[str, Callable[[Bench, Peer], Iterator[Result]]] = {
    measure.__name__: measure for measure in (growth, held, memory, databases)
}
