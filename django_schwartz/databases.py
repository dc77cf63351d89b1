"""Which queue database: in what order they are asked, and which are dead for how long."""

import hashlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.db import Error, connections

from django_schwartz import signals
from django_schwartz.dialects import dialect_of
from django_schwartz.exceptions import AllDatabasesDead


class Databases:
    """The queue's databases. One that cannot be used is dead for `retry_seconds`: others go first.

    The clock (seconds) and the shuffle are given, for tests to decide.
    """

    def __init__(
        self,
        aliases: Sequence[str],
        *,
        retry_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        shuffle: Callable[[list[str]], object] = random.shuffle,
    ) -> None:
        self.aliases = list(aliases)
        self.retry_seconds = retry_seconds
        self._clock = clock
        self._shuffle = shuffle
        self._retry_at: dict[str, float] = {}
        self.causes: dict[str, Exception] = {}

    def in_random_order(self) -> list[str]:
        """The databases to ask, one after the other."""
        order = list(self.aliases)
        self._shuffle(order)
        return self._living(order)

    def in_home_order(self, funcname: str, uniqkey: str) -> list[str]:
        """The databases to ask for a uniqkey, the same first for everybody (rendezvous hashing)."""

        def weight(alias: str) -> bytes:
            home = f"{alias}\0{funcname}\0{uniqkey}"
            return hashlib.sha256(home.encode(errors="surrogatepass")).digest()

        return self._living(sorted(self.aliases, key=weight))

    def in_transaction(self) -> str | None:
        """The first database that this thread has a transaction open on."""
        return next((a for a in self.aliases if connections[a].in_atomic_block), None)

    def is_dead(self, alias: str) -> bool:
        return self._retry_at.get(alias, -math.inf) >= self._clock()

    def _living(self, order: list[str]) -> list[str]:
        # When all are dead, trying is better than refusing unasked.
        return [alias for alias in order if not self.is_dead(alias)] or order

    @contextmanager
    def failing_over(self, alias: str) -> Iterator[None]:
        """Go on after the block when an error in it says that the database is dead, and note that.

        Any other error goes to the caller, and so does every error inside a transaction.
        """
        try:
            yield
        except Error as error:
            connection = connections[alias]
            if connection.in_atomic_block or not dialect_of(connection).is_unavailable(
                connection, error
            ):
                raise
            connection.close()
            self._mark_dead(alias, error)
        else:
            self._mark_alive(alias)

    def _mark_dead(self, alias: str, error: Exception) -> None:
        is_news = alias not in self.causes
        self._retry_at[alias] = self._clock() + self.retry_seconds
        self.causes[alias] = error
        if is_news:
            signals.database_died.send_robust(
                type(self), using=alias, error=error, retry_seconds=self.retry_seconds
            )

    def _mark_alive(self, alias: str) -> None:
        if self.causes.pop(alias, None):
            self._retry_at.pop(alias, None)
            signals.database_revived.send_robust(type(self), using=alias)

    def all_dead(self) -> AllDatabasesDead:
        """The exception that names each database and what is wrong with it."""
        return AllDatabasesDead({alias: self.causes.get(alias) for alias in self.aliases})
