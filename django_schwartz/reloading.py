"""Starting anew when the code changes, for development: never in the middle of a job."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.utils.autoreload import StatReloader, get_child_arguments


def watch_code(changed: Callable[[], object]) -> None:
    """Call back once, from a thread, when a Python file in use has changed and compiles."""
    reloader = StatReloader()
    seen = dict(reloader.snapshot_files())
    watch = threading.Thread(
        target=_watch, args=[reloader, seen, changed], name="code-watcher", daemon=True
    )
    watch.start()


def _watch(reloader: StatReloader, seen: dict[Path, float], changed: Callable[[], object]) -> None:
    while True:
        time.sleep(reloader.SLEEP_TIME)
        now = dict(reloader.snapshot_files())
        if any(seen.get(path, mtime) != mtime and _compiles(path) for path, mtime in now.items()):
            changed()
            return
        seen |= now  # a file is away for a moment while some editors save it


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
