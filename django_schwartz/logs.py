"""The log on standard error, in a project that configured none."""

import logging
import sys
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TextIO

from django_schwartz.exceptions import traceback_of

logger = logging.getLogger("django_schwartz")


def escaped(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def enumerated(things: Sequence[str], *, most: int = 10) -> str:
    """The first of many things, and how many more there are."""
    named = ", ".join(things[:most])
    return f"{named} and {len(things) - most:,} more" if len(things) > most else named


def bar_traceback(record: logging.LogRecord) -> bool:
    """Begin each line of a record's traceback with a bar, as a filter: none passes for a record.

    An exception's text is its user's, and may hold line breaks and escape sequences.
    """
    if record.exc_info and record.exc_info[1]:
        lines = traceback_of(record.exc_info[1]).rstrip("\n").split("\n")
        record.exc_text = "\n".join(f"  | {escaped(line)}" for line in lines)
    return True


class Formatter(logging.Formatter):
    """Makes the text of a second once, and not for each line."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return f"{_second(int(record.created))},{int(record.msecs):03d}"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime(Formatter.default_time_format, time.localtime(seconds))


class OwnHandler(logging.StreamHandler[TextIO]):
    """Writes to standard error."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))

    @property
    def is_alone(self) -> bool:
        """Whether nobody else sees what is logged."""
        is_heard = logger.propagate and logging.root.handlers
        return logger.handlers == [self] and logger.filters == [bar_traceback] and not is_heard

    def write_lines(self, level: int, lines: Sequence[str]) -> None:
        """As one record for each: one for all, whose lines begin alike."""
        head = self.format(_record(level, ""))
        logger.handle(_record(level, f"\n{head}".join(lines)))


def show_log(level: int) -> None:
    """Show what is logged of the queue from this level on, unless the project does already."""
    logger.disabled = False  # as LOGGING has those that a worker process made before it was read
    if not logger.hasHandlers():
        logger.addHandler(OwnHandler())
        logger.setLevel(level)


def log_lines(level: int, template: str, lines: Iterable[tuple[object, ...]]) -> None:
    """As logger.log() for each; together where nobody else sees it, since it takes longest."""
    if not logger.isEnabledFor(level):
        return
    handler = logger.handlers[0] if logger.handlers else None
    if isinstance(handler, OwnHandler) and handler.is_alone:
        handler.write_lines(level, [template % line for line in lines])
        return
    for line in lines:
        logger.handle(_record(level, template, line))


def _record(level: int, message: str, args: tuple[object, ...] = ()) -> logging.LogRecord:
    return logger.makeRecord(logger.name, level, __file__, 0, message, args, None, "log_lines")
