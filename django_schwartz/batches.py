"""Many things, some at a time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

BATCH = 1000


class Batches(Generic[T]):
    """Lists of up to BATCH things. No more than one is held of an iterator's."""

    def __init__(self, things: Iterable[T]) -> None:
        self._all = things if isinstance(things, Sequence) else None
        self._rest = iter(things)
        self.first = list(islice(self._rest, BATCH))
        #: Whether things were taken that cannot be had again.
        self.is_spent = False

    @property
    def known(self) -> Sequence[T]:
        """What can be looked at before any is taken: of an iterator the first alone."""
        return self.first if self._all is None else self._all

    def __iter__(self) -> Iterator[list[T]]:
        yield self.first
        if self._all is not None:
            for start in range(BATCH, len(self._all), BATCH):
                yield list(self._all[start : start + BATCH])
            return
        while batch := list(islice(self._rest, BATCH)):
            self.is_spent = True
            yield batch
