"""The log on standard error, in a project that configured none."""

import logging
import sys

logger = logging.getLogger("django_schwartz")


def show_log(level: int) -> None:
    """Show what is logged of the queue from this level on, unless the project does already."""
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
