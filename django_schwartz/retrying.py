"""How long to wait between a failure and the retry."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Exponential:
    """Seconds that grow with each failure: `first`, then `factor` times as many, `cap` at most.

    `jitter` is the part of them that chance may take away, so that those who failed together do not
    come back together: 0.5 leaves half of them at least. To be called with the number of failures.
    """

    first: float = 1
    factor: float = 2
    cap: float = 3600
    jitter: float = 0.5
    #: Gives a number from 0 to 1.
    chance: Callable[[], float] = field(default=random.random, compare=False, repr=False)

    def __call__(self, failures: int) -> float:
        return self._seconds(failures) * (1 - self.jitter * self.chance())

    def _seconds(self, failures: int) -> float:
        try:
            return min(self.cap, self.first * self.factor ** (failures - 1))
        except OverflowError:
            return self.cap
