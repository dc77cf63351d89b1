"""Which queue database: in what order they are asked, and which are dead for how long."""

import hashlib
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Self

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz import signals
from django_schwartz.conf import conf
from django_schwartz.deadline import Unanswered, within
from django_schwartz.dialects import dialect_of
from django_schwartz.exceptions import AllDatabasesDead, one_line
from django_schwartz.transactions import may_be_rolled_back

logger = logging.getLogger("django_schwartz")

#: When what was only suspected of being dead was found so: it is to be asked at once.
LONG_AGO = -math.inf


@dataclass(frozen=True)
class Death:
    """When a database was last found dead, by the clock of the Deaths, and why."""

    seconds: float
    cause: Exception

    @property
    def is_sure(self) -> bool:
        return self.seconds != LONG_AGO


class Deaths:
    """What is known of dead databases, by alias, to all who share this. Safe among threads.

    The clock (seconds) is given, for tests to decide.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: dict[str, Death] = {}
        self._lock = threading.Lock()

    def note(self, alias: str, cause: Exception) -> bool:
        """Note that the database is dead. Whether that is news."""
        with self._lock:
            before = self._deaths.get(alias)
            self._deaths[alias] = Death(self._clock(), cause)
            return before is None or not before.is_sure

    def suspect(self, alias: str, cause: Exception) -> bool:
        """Note that the database may be dead. Whether that is news."""
        with self._lock:
            is_news = alias not in self._deaths
            self._deaths.setdefault(alias, Death(LONG_AGO, cause))
            return is_news

    def forget(self, alias: str) -> bool:
        """Note that the database is alive. Whether that is news."""
        with self._lock:
            death = self._deaths.pop(alias, None)
            return death is not None and death.is_sure

    def cause(self, alias: str) -> Exception | None:
        """Why the database is dead, or may be; None while it is not known to be."""
        death = self._deaths.get(alias)
        return None if death is None else death.cause

    def age(self, alias: str) -> float:
        """Seconds since the database was last found dead; endless if it was not, or not surely."""
        death = self._deaths.get(alias)
        return math.inf if death is None else self._clock() - death.seconds


#: What this process knows: a client made for one request need not ask a dead database again.
known_deaths = Deaths()


class Databases:
    """The queue's databases. One that cannot be used is dead for `retry_seconds`: others go first.

    The deaths and the shuffle are given, for tests to decide. Who `is_quiet` tells of no death.
    """

    def __init__(
        self,
        aliases: Sequence[str],
        *,
        retry_seconds: float,
        deaths: Deaths = known_deaths,
        shuffle: Callable[[list[str]], object] = random.shuffle,
        is_quiet: bool = False,
    ) -> None:
        self.aliases = list(aliases)
        self._is_quiet = is_quiet
        self.retry_seconds = retry_seconds
        #: Seconds that a block under failing_over() waits for its database; None for ever.
        self.deadline_seconds: float | None = None
        self._deaths = deaths
        self._shuffle = shuffle

    @property
    def causes(self) -> dict[str, Exception]:
        """Why those that did not answer last did not, by alias."""
        causes = {alias: self._deaths.cause(alias) for alias in self.aliases}
        return {alias: cause for alias, cause in causes.items() if cause is not None}

    def in_random_order(self) -> list[str]:
        """The databases to ask, one after the other."""
        order = list(self.aliases)
        if len(order) > 1:
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

    def lives(self, alias: str) -> bool:
        """Whether it is one of these, and nothing was wrong with it since it served last."""
        return alias in self.aliases and self._deaths.cause(alias) is None

    @property
    def the_only(self) -> str | None:
        """The only one there is, if it lives and has all the time that it takes."""
        if len(self.aliases) != 1 or self.deadline_seconds is not None:
            return None
        [alias] = self.aliases
        return alias if self.lives(alias) else None

    def is_dead(self, alias: str) -> bool:
        return self._deaths.age(alias) <= self.retry_seconds

    def _living(self, order: list[str]) -> list[str]:
        # When all are dead, trying is better than refusing unasked.
        return [alias for alias in order if not self.is_dead(alias)] or order

    def failing_over(
        self, alias: str, *, revives: bool = True
    ) -> AbstractContextManager["Asked", bool | None]:
        """Go on after the block when an error in it says that the database is dead, and note that.

        Any other error goes to the caller, and so does every error inside a transaction, or while
        autocommit is off. Without one the database lives, unless the block says nothing of its
        jobs: then not `revives`.

        A connection that was open already and is cut now makes the database suspect only: the next
        to ask makes a new one, and learns more.
        """
        asked = Asked(self, alias, revives=revives)
        return asked if self.deadline_seconds is None else self._in_time(asked)

    @contextmanager
    def _in_time(self, asked: "Asked") -> Iterator["Asked"]:
        with asked, within(self.deadline_seconds, connections[asked.alias]):
            yield asked

    def mark_dead(self, alias: str, error: Exception) -> None:
        if self._deaths.note(alias, error) and not self._is_quiet:
            signals.database_died.send_robust(
                type(self), using=alias, error=error, retry_seconds=self.retry_seconds
            )
        _drop_frames(error)

    def mark_suspect(self, alias: str, error: Exception) -> None:
        if self._deaths.suspect(alias, error) and not self._is_quiet:
            logger.info(
                "a connection to database %r was cut, trying a new one: %s",
                alias,
                signals.printable(one_line(error)),
            )
        _drop_frames(error)

    def mark_alive(self, alias: str) -> None:
        if self._deaths.forget(alias) and not self._is_quiet:
            signals.database_revived.send_robust(type(self), using=alias)

    def all_dead(self) -> AllDatabasesDead:
        """The exception that names each database and what is wrong with it."""
        causes = {alias: self._deaths.cause(alias) for alias in self.aliases}
        return AllDatabasesDead(causes, unmigrated=filter(self._lacks_tables, self.aliases))

    def _lacks_tables(self, alias: str) -> bool:
        cause = self._deaths.cause(alias)
        return isinstance(cause, Error) and dialect_of(connections[alias]).is_missing_table(cause)


class Asked:
    """A block under failing_over(), which says more of that, and what came of it.

    No generator, which takes nearly twice as long: it is around each dispatch.
    """

    #: Whether the connection was cut that had been open before: a new one may serve.
    was_cut = False

    def __init__(self, databases: Databases, alias: str, *, revives: bool) -> None:
        self.alias = alias
        self._databases = databases
        self._revives = revives

    def __enter__(self) -> Self:
        self._connection = connections[self.alias]
        self._driver = self._connection.connection
        self._is_open = may_be_rolled_back(self._connection)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            if self._revives:
                self._databases.mark_alive(self.alias)
            return False
        if not isinstance(error, Error) or self._is_open or not self._says_dead(error):
            return False
        self.was_cut = was_cut(self._connection, self._driver, error)
        self._connection.close()
        if self.was_cut:
            self._databases.mark_suspect(self.alias, error)
        else:
            self._databases.mark_dead(self.alias, error)
        return True

    def _says_dead(self, error: Error) -> bool:
        return dialect_of(self._connection).is_unavailable(self._connection, error)


def checked_aliases(aliases: Iterable[str]) -> list[str]:
    """The aliases, none of which DATABASES lacks. Raises TypeError, ValueError."""
    if isinstance(aliases, str):
        raise TypeError(f"Several aliases are asked for: [{aliases!r}], not {aliases!r}.")
    checked = list(aliases)
    for alias in checked:
        if alias not in connections:
            raise ValueError(f"DATABASES has no {alias!r}; it has {', '.join(connections)}.")
    return checked


def patience(aliases: Sequence[str], *, deadline_seconds: float, lease_seconds: float) -> float:
    """Seconds that a worker waits for one of these databases.

    For the only one as long as a lease: a grab that takes longer is void.
    """
    return deadline_seconds if len(aliases) > 1 else lease_seconds


def usual_patience(aliases: Sequence[str]) -> float:
    """The same as the settings say."""
    settings = conf()
    return patience(
        aliases,
        deadline_seconds=settings.deadline_seconds,
        lease_seconds=settings.lease_seconds,
    )


def databases_of_supervisor(aliases: Sequence[str]) -> Databases:
    """Databases as the settings say, none of which keeps it waiting for long.

    Of deaths it tells nothing: its worker processes do.
    """
    databases = Databases(aliases, retry_seconds=conf().retry_seconds, is_quiet=True)
    databases.deadline_seconds = usual_patience(aliases)
    return databases


def was_cut(connection: BaseDatabaseWrapper, driver: object, error: Error) -> bool:
    """Whether the driver's connection, None if none was open, ended before or with the error.

    Not since the server kept silent, or would not serve.
    """
    if driver is None or isinstance(error, Unanswered):
        return False
    # Where atomic() cannot roll back, Django has made another already.
    return connection.connection is not driver or not connection.is_usable()


def _drop_frames(error: BaseException | None) -> None:
    """Let go of the callers' data, which the frames of an error that is kept would keep as well."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
