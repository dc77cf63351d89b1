"""The log on standard error, in a project that configured none."""

import logging
import sys
import time
from functools import lru_cache

logger = logging.getLogger("django_schwartz")


class Formatter(logging.Formatter):
    """Makes the text of a second once, and not for each line."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return f"{_second(int(record.created))},{int(record.msecs):03d}"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime(Formatter.default_time_format, time.localtime(seconds))


def show_log(level: int) -> None:
    """Show what is logged of the queue from this level on, unless the project does already."""
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
