"""The file that tells whether workers are alive."""

import logging
import os
import time
from pathlib import Path

from django_schwartz.signals import printable

logger = logging.getLogger("django_schwartz")


class Healthcheck:
    """A file whose date tells of life. Where it cannot be dated, that is logged, and no more."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._is_failing = False

    def date(self, *, age: float = 0) -> None:
        """Date the file to so many seconds ago."""
        moment = time.time() - age
        try:
            self._file.touch()
            os.utime(self._file, (moment, moment))
        except OSError as error:
            self._note_failure(error)
        else:
            self._is_failing = False

    def _note_failure(self, error: OSError) -> None:
        if not self._is_failing:
            logger.warning("--healthcheck cannot be dated, going on: %s", printable(error))
        self._is_failing = True
