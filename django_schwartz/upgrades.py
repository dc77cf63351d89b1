"""Upgrades: a worker does not begin before the migrations of its version are applied."""

import logging
from collections.abc import Callable, Iterable

from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from django_schwartz.signals import printable

logger = logging.getLogger("django_schwartz")

APP = "django_schwartz"


def wait_for_migrations(aliases: Iterable[str], *, pause: Callable[[], bool]) -> bool:
    """Return True once none is missing. Log which are missing, each time that this changes.

    Between two looks it pauses; it returns False if that gives True: told to stop.
    """
    told = ""
    while missing := _told({alias: unapplied(alias) for alias in aliases}):
        if missing != told:
            logger.warning("waiting for `manage.py migrate` to apply %s", missing)
        told = missing
        if pause():
            return False
    return True


def unapplied(alias: str) -> list[str]:
    """The names of the queue's migrations that a database lacks; none if it cannot be asked."""
    try:
        loader = MigrationLoader(connections[alias])
    except AnyDatabaseError as error:
        logger.debug("which migrations %r has is unknown: %s", alias, printable(error))
        connections[alias].close()
        return []
    known = loader.graph.nodes.keys() - loader.applied_migrations.keys()
    return sorted(name for app, name in known if app == APP)


def _told(missing: dict[str, list[str]]) -> str:
    return "; ".join(f"{', '.join(names)} in {a!r}" for a, names in missing.items() if names)
