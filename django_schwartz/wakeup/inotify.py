"""Linux tells when a file is written to. It is asked through the C library: Python has no call."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

IN_MODIFY = 0x2


class FileWatch:
    """Becomes readable when one of the files is written to, by whatever process of this host.

    The files are not opened: to close one would end the locks that SQLite has on it.
    """

    def __init__(self, libc: ctypes.CDLL, number: int) -> None:
        self._libc = libc
        self._number = number

    @classmethod
    def make(cls) -> Self | None:
        """A watch of nothing yet, or None where there is no such thing."""
        libc = ctypes.CDLL(None) if os.name == "posix" else None
        if libc is None or not hasattr(libc, "inotify_init1"):
            return None
        number = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        return None if number < 0 else cls(libc, number)

    def fileno(self) -> int:
        return self._number

    def watch(self, paths: Iterable[Path]) -> bool:
        """Watch those of the files that exist; may be said again. False if one cannot be."""
        found = [os.fsencode(path) for path in paths if path.exists()]
        return all(
            self._libc.inotify_add_watch(self._number, path, IN_MODIFY) >= 0 for path in found
        )

    def has_seen_writes(self) -> bool:
        """Whether something was written since the last time that this was asked."""
        try:
            return bool(os.read(self._number, 65_536))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._number)
