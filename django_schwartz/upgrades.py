"""Upgrades: a worker does not begin in a database before that has the migrations of its version."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from django_schwartz.conf import conf
from django_schwartz.databases import Databases
from django_schwartz.deadline import within
from django_schwartz.exceptions import SchwartzError
from django_schwartz.signals import printable

logger = logging.getLogger("django_schwartz")

APP = "django_schwartz"
#: Seconds between two looks for migrations that are not applied.
LOOK_SECONDS = 1


def wait_for_migrations(
    aliases: Sequence[str], *, pause: Callable[[], bool]
) -> dict[str, list[str]] | None:
    """Return once one database lacks none; give what the others lack, by alias.

    Log which are missing, each time that this changes. Between two looks it pauses; it returns None
    if that gives True: told to stop.
    """
    told = ""
    while missing := _missing(aliases):
        has_others = len(missing) < len(aliases)
        if (telling := _told(missing)) != told:
            meanwhile = ", and working in the other databases" if has_others else ""
            logger.warning("waiting for `manage.py migrate` to apply %s%s", telling, meanwhile)
        told = telling
        if has_others:
            break
        if pause():
            return None
    return missing


class Latecomers:
    """Databases that others need not wait for: each joins those when it has its migrations.

    `missing` are the migrations that each lacks. The clock (seconds) is given, for tests to decide.
    """

    def __init__(
        self,
        databases: Databases,
        missing: Mapping[str, Sequence[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._databases = databases
        self._missing = dict(missing)
        self._clock = clock
        self._look_at = dict.fromkeys(missing, clock())
        self._found: set[str] = set()

    @property
    def aliases(self) -> list[str]:
        """Those that have not joined yet."""
        return list(self._missing)

    @property
    def causes(self) -> dict[str, Exception]:
        """Why each cannot be used yet."""
        return {
            alias: SchwartzError(f"It lacks {', '.join(names)}: run `manage.py migrate`.")
            for alias, names in self._missing.items()
        }

    def look(self) -> list[str]:
        """Look at those that are due, log which join now, and tell."""
        for alias in self.due():
            self.look_at(alias)
        joined = self.joined()
        for alias in joined:
            logger.info("%r has its migrations now: working there, too", alias)
        return joined

    def due(self) -> list[str]:
        """Those to be looked at now. One look is not due while another goes on."""
        due = [alias for alias, moment in self._look_at.items() if moment <= self._clock()]
        for alias in due:
            self._look_at[alias] = math.inf
        return due

    def look_at(self, alias: str) -> None:
        """Find out whether the database is ready. For any thread."""
        try:
            with self._databases.failing_over(alias, revives=False):
                if {*self._missing[alias]} <= _applied(alias):
                    self._found.add(alias)
                    return
        except AnyDatabaseError as error:
            logger.debug("which migrations %r has is unknown: %s", alias, printable(error))
        self._look_at[alias] = self._clock() + LOOK_SECONDS

    def joined(self) -> list[str]:
        """Have those join that were found to be ready, and tell which."""
        found = [alias for alias in self._missing if alias in self._found]
        for alias in found:
            del self._missing[alias], self._look_at[alias]
            self._databases.aliases.append(alias)
        return found


def _applied(alias: str) -> set[str]:
    recorded = MigrationRecorder(connections[alias]).applied_migrations()
    return {name for app, name in recorded if app == APP}


def _missing(aliases: Iterable[str]) -> dict[str, list[str]]:
    return {alias: names for alias in aliases if (names := unapplied(alias))}


def unapplied(alias: str) -> list[str]:
    """The names of the queue's migrations that a database lacks; none if it cannot be asked."""
    try:
        with within(conf().deadline_seconds, connections[alias]):
            loader = MigrationLoader(connections[alias])
    except AnyDatabaseError as error:
        logger.debug("which migrations %r has is unknown: %s", alias, printable(error))
        connections[alias].close()
        return []
    known = loader.graph.nodes.keys() - loader.applied_migrations.keys()
    return sorted(name for app, name in known if app == APP)


def _told(missing: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{', '.join(names)} in {alias!r}" for alias, names in missing.items())
