"""What a job's verbs are given, checked, and as the database takes it."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Greatest

from django_schwartz.dialects import ServerTimeIn
from django_schwartz.fields import LAST, unix_seconds
from django_schwartz.worker import FOREVER


def later_moment(value: datetime | timedelta | int | None) -> Any:
    """The value as an update writes it to run_after, in a second at the soonest.

    None for None and 0, as in Perl. A worker that hands its job back at once would get it again at
    once, and nothing else would be done.
    """
    if value is None or value == 0:
        return None
    if isinstance(value, timedelta):
        return ServerTimeIn(min(max(value.total_seconds(), 1), FOREVER))
    seconds = min(unix_seconds(value), unix_seconds(LAST))
    moment = models.Value(seconds, models.BigIntegerField())
    return Greatest(moment, ServerTimeIn(1))


def failing_status(exit_status: int | None) -> int:
    """That of a failure: 1 unless another is given."""
    return checked_status(exit_status or 1)


def checked_status(status: int) -> int:
    """Raises TypeError for no whole number, ValueError for one that does not fit the column."""
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"An exit status is a whole number, not {status!r}.")
    if not -(2**31) <= status < 2**31:
        raise ValueError(f"An exit status must fit 32 bits, unlike {status}.")
    return status
