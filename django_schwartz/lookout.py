"""The lookout: functions that came into the databases while a worker runs."""

import logging
import time
from collections.abc import Callable

from django.db import Error as AnyDatabaseError

from django_schwartz.client import TheSchwartz
from django_schwartz.signals import printable

logger = logging.getLogger("django_schwartz")

#: Seconds between two looks.
LOOK_SECONDS = 5


class Lookout:
    """Has a client perform those that a worker is found for, if it is to do all that it can.

    The clock (seconds) is given, for tests to decide.
    """

    def __init__(self, client: TheSchwartz, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._next_look = clock() + LOOK_SECONDS

    def look(self) -> None:
        """Look if it is time to. Databases may be away."""
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + LOOK_SECONDS
        try:
            self._client.look_for_abilities()
        except AnyDatabaseError as error:
            logger.debug("no look for new functions: %s", printable(error))
