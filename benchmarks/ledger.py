"""What was performed, when and by whom: a file in shared memory that no-op jobs write to.

Each job has a number, and a place of its own in five arrays; nothing is locked. Reads nothing but
the standard library, for it is imported in every peer's environment.
"""

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns

VARIABLE = "SCHWARTZ_BENCH_LEDGER"
#: Bytes a job: three times in nanoseconds, a process id, a count.
BYTES = 8 + 8 + 8 + 4 + 1
PARTS = 10


class Ledger:
    """`begun` and `returned` are of the dispatch, `performed` and `who` of the last performance."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self.path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.size = size = len(self.memory) // BYTES
        view = memoryview(self.memory)
        self.begun, self.returned, self.performed = (
            view[8 * size * part : 8 * size * (part + 1)].cast("q") for part in range(3)
        )
        self.who = view[24 * size : 28 * size].cast("i")
        self.count = view[28 * size : 29 * size]

    @classmethod
    def make(cls, path: Path, size: int) -> "Ledger":
        """Make an empty one for jobs 0 to `size` - 1."""
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.truncate(size * BYTES)
        return cls(path)

    def mark(self, number: int) -> None:
        """Say that a job was performed, now and here."""
        self.performed[number] = monotonic_ns()
        self.who[number] = os.getpid()
        self.count[number] += 1

    def done(self, first: int = 0) -> int:
        """Count the jobs from `first` on that were performed at least once."""
        counts = self.memory[28 * self.size + first : 29 * self.size]
        return len(counts) - counts.count(0)

    def repeated(self) -> list[int]:
        """Return the numbers of the jobs that were performed more than once."""
        counts = bytes(self.count)
        if counts.count(0) + counts.count(1) == self.size:
            return []
        return [number for number, count in enumerate(counts) if count > 1]

    def drain(self, first: int = 0) -> "Drain":
        """Return what is known of the jobs from `first` on."""
        done = [n for n in range(first, self.size) if self.count[n]]
        return Drain(sorted((self.performed[n], self.who[n]) for n in done))

    def pickups(self, first: int) -> tuple[list[float], list[float]]:
        """Return milliseconds to the performance: since the dispatch returned, and since it began.

        A job performed before its dispatch returned was picked up in no time.
        """
        done = [n for n in range(first, self.size) if self.count[n]]
        waited = [max(0, self.performed[n] - self.returned[n]) / 1e6 for n in done]
        return waited, [(self.performed[n] - self.begun[n]) / 1e6 for n in done]


@dataclass(frozen=True)
class Drain:
    """Performances in the order of their times: (nanoseconds, process id)."""

    performances: Sequence[tuple[int, int]]

    @property
    def processes(self) -> int:
        return len({who for _, who in self.performances})

    @property
    def rate(self) -> float | None:
        """Jobs a second from the moment when every process has begun, or None for too few."""
        first_of: dict[int, int] = {}
        for moment, who in self.performances:
            first_of.setdefault(who, moment)
        start = max(first_of.values(), default=0)
        return rate_of([moment for moment, _ in self.performances if moment >= start])

    @property
    def steady_rate(self) -> float | None:
        """Jobs a second without the first part of the jobs, in which the worker starts."""
        moments = [moment for moment, _ in self.performances]
        return rate_of(moments[len(moments) // PARTS :])

    @property
    def parts(self) -> list[float | None]:
        """Return the rate of each tenth of the jobs."""
        moments = [moment for moment, _ in self.performances]
        step = len(moments) // PARTS
        return [rate_of(moments[n * step : (n + 1) * step + 1]) for n in range(PARTS)]


def rate_of(moments: Sequence[int]) -> float | None:
    if len(moments) < 2 or moments[-1] == moments[0]:
        return None
    return (len(moments) - 1) / (moments[-1] - moments[0]) * 1e9


_open: dict[str, Ledger] = {}


def mark(number: int) -> None:
    """Say in the ledger that the environment names that a job was performed."""
    path = os.environ[VARIABLE]
    if path not in _open:
        _open[path] = Ledger(path)
    _open[path].mark(number)
