"""Starting anew when the code changes, for development: never in the middle of a job."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.utils.autoreload import StatReloader, get_child_arguments

from django_schwartz.signals import printable

logger = logging.getLogger("django_schwartz")


def why_not_to_start() -> str:
    """Why a new process of this code would end at once: one line, empty if it would not.

    That is tried out in one that only checks the project.
    """
    tried = subprocess.run(
        [sys.executable, "-m", "django", "check"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return _told_by(tried.stderr) or f"exit status {tried.returncode}" if tried.returncode else ""


def _told_by(stderr: str) -> str:
    """The exception that ended a process, or else all that it said, on one line."""
    traceback, _, exception = stderr.strip().rpartition("\n")
    is_traceback = "Traceback (most recent call last):" in traceback
    return printable(exception if is_traceback else " ".join(stderr.split()))


def watch_code(
    changed: Callable[[], object], *, why_not: Callable[[], str] = why_not_to_start
) -> None:
    """Call back once, from a thread, when a Python file in use has changed and can be started."""
    CodeWatcher(changed, why_not).start()


class CodeWatcher(threading.Thread):
    """Looks at the files in use, and at those beside one that changed and could not be started."""

    def __init__(self, changed: Callable[[], object], why_not: Callable[[], str]) -> None:
        super().__init__(name="code-watcher", daemon=True)
        self._changed = changed
        self._why_not = why_not
        self._reloader = StatReloader()
        self._seen = self._look()
        #: Whether a new process would end at once, for want of a file perhaps.
        self._is_broken = False

    def run(self) -> None:
        while reason := self._why_not_after(self._next_changes()):
            logger.error("the code changed but cannot start, waiting for a change: %s", reason)
        self._changed()

    def _next_changes(self) -> list[Path]:
        """Wait for files that have changed and compile."""
        while True:
            time.sleep(self._reloader.SLEEP_TIME)
            now = self._look()
            changes = [path for path, mtime in now.items() if self._is_change(path, mtime)]
            self._seen |= now  # a file is away for a moment while some editors save it
            if compiling := [path for path in changes if _compiles(path)]:
                return compiling

    def _why_not_after(self, changes: list[Path]) -> str:
        reason = self._why_not()
        if reason:
            for path in changes:
                self._reloader.watch_dir(path.parent, "*.py")
            self._seen |= self._look()
        self._is_broken = bool(reason)
        return reason

    def _is_change(self, path: Path, mtime: float) -> bool:
        # A file seen for the first time has come into use late, unless it is what was missing.
        return self._seen.get(path, 0 if self._is_broken else mtime) != mtime

    def _look(self) -> dict[Path, float]:
        return dict(self._reloader.snapshot_files())


def _compiles(path: Path) -> bool:
    if path.suffix != ".py":
        return True
    try:
        compile(path.read_bytes(), path, "exec")
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def start_anew() -> None:
    """Put a new process of the same command line in this one's place."""
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = get_child_arguments()
    os.execv(arguments[0], arguments)  # noqa: S606 - our own command line  # nosec B606
