"""Housekeeping: old rows go, and jobs that nobody can do are told of."""

import logging
import time
from collections.abc import Callable

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.databases import Databases
from django_schwartz.logs import enumerated
from django_schwartz.retention import BATCH, purge
from django_schwartz.signals import printable
from django_schwartz.stats import nobody_can_do

logger = logging.getLogger("django_schwartz")

#: Seconds between two rounds, and the longest that one lasts for each database.
ROUND_SECONDS = 60
LONGEST_SECONDS = 5


class Housekeeping:
    """For these databases, until `is_over`. The clock (seconds) is given, for tests to decide."""

    def __init__(
        self,
        databases: Databases,
        *,
        is_over: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._databases = databases
        self._is_over = is_over
        self._clock = clock
        self._next_round = clock()

    def keep(self) -> None:
        """Make a round if it is time for one. Databases may be away."""
        if self._clock() < self._next_round:
            return
        self._next_round = self._clock() + ROUND_SECONDS
        for alias in self._databases.aliases:
            if self._databases.is_dead(alias):
                continue
            try:
                self._purge(alias)
                with self._databases.failing_over(alias):
                    _tell_of_orphans(alias)
            except AnyDatabaseError as error:
                logger.debug("no housekeeping in %r: %s", alias, printable(error))
                connections[alias].close_if_unusable_or_obsolete()

    def _purge(self, alias: str) -> None:
        ends_at = self._clock() + LONGEST_SECONDS
        while self._purge_some(alias) >= BATCH and self._clock() < ends_at and not self._is_over():
            pass

    def _purge_some(self, alias: str) -> int:
        with self._databases.failing_over(alias, revives=False):
            return purge(alias)
        return 0


def _tell_of_orphans(alias: str) -> None:
    orphans = nobody_can_do(alias)
    if orphans:
        counts = [f"{printable(name)!r} ({count})" for name, count in orphans.items()]
        told = enumerated(counts, most=20)
        logger.warning("jobs in %r wait for functions that no worker here can do: %s", alias, told)
