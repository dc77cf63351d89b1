"""What a process holds, in memory that outlives it: read by the supervisor after a death."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: The numbers in a row: place of the alias, grabs, lease, renewed lease, begun, jobid. What is
#: packed last is written last: the jobid makes the row count.
ROW = Struct("6q")
LEASE, RENEWED, BEGUN, JOBID = 2, 3, 4, 5
WIDTH = 6
#: Bytes of each.
NUMBER = ROW.size // WIDTH
#: Rows: more jobs than one process ever holds.
ROWS = 16_384
#: Grabs at a time that workers make to do jobs along with theirs; more are not noted.
MOST_ALONG = 61
#: Numbers before the rows: that of a grab whose reply is not here yet, the time of the last sign of
#: life in milliseconds of the system's monotonic clock, the farewell, and such grabs of workers.
HEAD = 3 + MOST_ALONG
SIZE = HEAD + ROWS * WIDTH


class Farewell(IntEnum):
    """Why a process ends that ends in order; one that does not leaves NONE."""

    NONE = 0
    DONE = 1
    STOPPED = 2
    #: It is to be replaced: it has done its share, or has grown too large.
    RECYCLED = 3


@dataclass(frozen=True)
class Entry:
    """A job as its dead holder held it: by one of these leases."""

    jobid: int
    alias: str
    grabs: int
    leases: tuple[int, ...]
    has_begun: bool


class Ledger:
    """Written by the process that holds the jobs. `memory` has SIZE 64-bit integers."""

    def __init__(self, memory: "Buffer", aliases: list[str]) -> None:
        self._memory = memoryview(memory).cast("B").cast("q")
        #: By slot, whether the job there has begun: set for each job, which a call makes slow.
        self.begun = self._memory[BEGUN:]
        self._aliases = aliases
        self._places = {alias: place for place, alias in enumerate(aliases)}
        self._free = list(range(HEAD, SIZE, WIDTH))
        self._free_along = list(range(3, HEAD))

    @property
    def open_grab(self) -> int:
        """The number of the grab that is under way, or 0."""
        return self._memory[0]

    @open_grab.setter
    def open_grab(self, number: int) -> None:
        self._memory[0] = number

    @contextmanager
    def open_along(self, number: int) -> Iterator[None]:
        """The number of a grab that a worker makes while this lasts."""
        places = [self._free_along.pop()] if self._free_along else []
        for place in places:
            self._memory[place] = number
        try:
            yield
        finally:
            for place in places:
                self._memory[place] = 0
                self._free_along.append(place)

    @property
    def open_grabs(self) -> list[int]:
        """The numbers of all grabs that are under way."""
        return [number for number in (self.open_grab, *self._memory[3:HEAD]) if number]

    def show_life(self) -> None:
        self._memory[1] = int(time.monotonic() * 1000)

    @property
    def last_life(self) -> float:
        """When the last sign of life was given, by the monotonic clock; 0 before the first."""
        return self._memory[1] / 1000

    @property
    def farewell(self) -> Farewell:
        return Farewell(self._memory[2])

    @farewell.setter
    def farewell(self, farewell: Farewell) -> None:
        self._memory[2] = farewell

    def enter(self, jobid: int, alias: str, grabs: int, lease: int) -> int:
        """Note that a job is held; gives its slot."""
        slot = self._free.pop()
        ROW.pack_into(
            self._memory, slot * NUMBER, self._places[alias], grabs, lease, 0, False, jobid
        )
        return slot

    def renew(self, slot: int, lease: int) -> None:
        """Note what the lease may have become."""
        memory = self._memory
        memory[slot + RENEWED] = memory[slot + LEASE]
        memory[slot + LEASE] = lease

    def strike(self, slots: Sequence[int]) -> None:
        """Note that the jobs there are not held any more."""
        for slot in slots:
            self._memory[slot + JOBID] = 0
        self._free += slots

    def entries(self) -> Iterator[Entry]:
        for slot in range(HEAD, SIZE, WIDTH):
            place, grabs, *leases, has_begun, jobid = self._memory[slot : slot + WIDTH]
            if jobid:
                known = tuple(lease for lease in leases if lease)
                yield Entry(jobid, self._aliases[place], grabs, known, bool(has_begun))
