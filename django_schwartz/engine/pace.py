"""The pace: how long a thread may go on while other threads wait for the interpreter."""

import sys

#: Seconds while small jobs flow. By the usual 5 ms nothing comes sooner then, and a tenth of the
#: work is lost: who grabs or records waits for the interpreter at each piece of the database's
#: reply, and those who perform only change places with each other.
FLOWING_SECONDS = 0.05


class Pace:
    """The interpreter's switch interval, which is the process's; the usual one is the project's."""

    def __init__(self) -> None:
        self._usual = self._now = sys.getswitchinterval()

    def set(self, *, flowing: bool) -> None:
        seconds = max(self._usual, FLOWING_SECONDS) if flowing else self._usual
        if seconds != self._now:
            sys.setswitchinterval(seconds)
            self._now = seconds
