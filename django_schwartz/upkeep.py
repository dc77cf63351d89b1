"""The upkeep of the database connections of a thread that performs jobs."""

from collections.abc import Sequence

from django.db import connections


def tend_connections(kept: Sequence[str]) -> None:
    """Close connections that broke and, but for the queue's own, those past their CONN_MAX_AGE."""
    for connection in connections.all(initialized_only=True):
        is_kept = connection.alias in kept and not connection.errors_occurred
        if not connection.in_atomic_block and not is_kept:
            connection.close_if_unusable_or_obsolete()


def doubt_connections(kept: Sequence[str]) -> None:
    """Have the queue's own be checked before their next use, and made anew if they broke."""
    for connection in connections.all(initialized_only=True):
        if connection.alias in kept and not connection.in_atomic_block:
            connection.health_check_enabled = True  # type: ignore[attr-defined]
            connection.health_check_done = False  # type: ignore[attr-defined]
