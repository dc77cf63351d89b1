"""The clock that decides, moved: the databases' own, in every statement of the queue."""

from datetime import datetime, timedelta
from typing import Any, Self

from django_schwartz.dialects import DIALECTS
from django_schwartz.models.rows import MICROSECONDS


class Clock:
    """The databases' clock, as the queue sees it, from the beginning of the block to its end.

    It is moved for all threads of the process and no other; Python's clock stays as it is.
    """

    def __init__(self) -> None:
        self._own = {dialect: (dialect.now, dialect.now_us) for dialect in DIALECTS.values()}
        self._moved = 0
        self._stopped_at: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for dialect, (now, now_us) in self._own.items():
            vars(dialect).update(now=now, now_us=now_us)

    def move(self, delta: timedelta) -> None:
        """Let the time be that much later, or earlier."""
        self._moved += delta // timedelta(microseconds=1)
        self._set()

    def stop_at(self, moment: datetime) -> None:
        """Let the time be that moment until it is moved on."""
        self._stopped_at, self._moved = MICROSECONDS.get_prep_value(moment), 0
        self._set()

    def _set(self) -> None:
        for dialect, (_, now_us) in self._own.items():
            told = f"({self._told(now_us)} + {self._moved})"
            vars(dialect).update(now_us=told, now=f"({told} {dialect.divide} 1000000)")

    def _told(self, now_us: str) -> Any:
        # A literal would be of another type where it is small.
        return now_us if self._stopped_at is None else f"({now_us} * 0 + {self._stopped_at})"
