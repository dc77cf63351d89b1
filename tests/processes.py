"""Processes as /proc shows them, whoever started them."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1


def children_of(pid):
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if parent_of(path) == pid]


def descendants_of(pid):
    children = children_of(pid)
    return [*children, *(other for child in children for other in descendants_of(child))]


def parent_of(path):
    with suppress(OSError):
        return int(_status(path)[1])
    return None


def is_alive(pid):
    with suppress(OSError):
        return _status(Path(f"/proc/{pid}"))[0] != "Z"
    return False


def send(pid, number):
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def end_with_parent(number):
    """Have the kernel send this process a signal when its parent dies, however it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def _status(path):
    """The state, the parent and so on: what follows the name, which may hold blanks."""
    return (path / "stat").read_text().rpartition(")")[2].split()
