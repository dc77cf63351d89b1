"""Model many queue databases: `python3 benchmarks/model.py --help`.

A simulation in discrete events, the same each time. What it takes for granted:

* A database is a server with so many cores. Each statement takes one of them for as long as was
  measured, and those that come meanwhile wait in line. The disk keeps up.
* Each worker process is a core of its own. It grabs a batch from a database by chance, performs it,
  and settles it in one statement; only then, and when as many more are dispatched, it grabs again.
* In each database there is always a backlog. What is dispatched goes, one job a statement, to
  databases by chance.
* No row is waited for, the network takes no time, and the tables are as quick as short ones.
"""

import argparse
import heapq
import random
from dataclasses import dataclass

#: How long is simulated.
MILLISECONDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Milliseconds of a core, as `benchmarks/run.py --only databases` measures them."""

    dispatch: float
    #: Of the server for each job that is grabbed and settled.
    drain: float
    #: Of the server for a grab or a settlement, however few jobs are in it.
    statement: float
    #: Of the worker process for each job.
    perform: float


class Database:
    """A server, whose cores take statements first come, first served."""

    def __init__(self, cores: int) -> None:
        self._free_at = [0.0] * cores
        self.served = 0.0

    def serve(self, now: float, milliseconds: float) -> float:
        """When a statement that comes now is done."""
        end = max(now, self._free_at[0]) + milliseconds
        heapq.heapreplace(self._free_at, end)
        self.served += milliseconds
        return end


@dataclass(frozen=True, kw_only=True)
class Case:
    databases: int
    #: Of each database's server.
    cores: int
    processes: int
    #: Jobs of one grab.
    batch: int


def simulate(case: Case, costs: Costs, *, seed: int = 1) -> tuple[float, float]:
    """Jobs a second that are dispatched and performed, and how busy the servers' cores are."""
    chance = random.Random(seed)
    databases = [Database(case.cores) for _ in range(case.databases)]
    half = costs.statement + costs.drain / 2 * case.batch
    #: When which process does what: settles what it holds of a database, or grabs.
    events: list[tuple[float, int, Database | None]] = [
        (chance.random(), process, None) for process in range(case.processes)
    ]
    heapq.heapify(events)
    done = 0
    while events[0][0] < MILLISECONDS:
        now, process, held = heapq.heappop(events)
        if held is None:
            database = chance.choice(databases)
            ready = database.serve(now, half)
            heapq.heappush(events, (ready + costs.perform * case.batch, process, database))
            continue
        ends = [chance.choice(databases).serve(now, costs.dispatch) for _ in range(case.batch)]
        end = max(held.serve(now, half), *ends)
        done += case.batch if end < MILLISECONDS else 0
        heapq.heappush(events, (end, process, None))
    served = sum(database.served for database in databases)
    return 1000 * done / now, min(1, served / (now * case.databases * case.cores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dispatch", type=float, required=True, metavar="MS")
    parser.add_argument("--drain", type=float, required=True, metavar="MS")
    parser.add_argument("--perform", type=float, required=True, metavar="MS")
    parser.add_argument("--statement", type=float, default=0.3, metavar="MS")
    parser.add_argument("--cores", type=int, default=2, help="of each database's server")
    parser.add_argument("--batch", type=int, default=100, help="jobs of one grab")
    parser.add_argument("--databases", type=int, nargs="+", default=[1, 2, 3, 5, 10, 20])
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 8, 32, 128])
    options = parser.parse_args()
    costs = Costs(
        dispatch=options.dispatch,
        drain=options.drain,
        perform=options.perform,
        statement=options.statement,
    )
    print("databases", *(f"{number:>10} processes" for number in options.processes))
    for databases in options.databases:
        told = []
        for processes in options.processes:
            case = Case(
                databases=databases, cores=options.cores, processes=processes, batch=options.batch
            )
            rate, busy = simulate(case, costs)
            told.append(f"{rate:>10,.0f}/s ({busy:>4.0%})")
        print(f"{databases:>9}", *told)


if __name__ == "__main__":
    main()
