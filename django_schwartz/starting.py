"""How a worker process starts: as the fork of a process that has the project set up.

That is the fork server of the standard library's multiprocessing, which holds no connection and
runs no second thread: its forks are at work in milliseconds, where a fresh process has to import
the project first. They share its memory, too.
"""

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import ModuleType

#: What tells the fork server where this process finds its modules, and its PYTHONPATH before that.
PATH = "DJANGO_SCHWARTZ_PATH"
#: The exit code of a process whose fork server is gone, so that nobody knows it.
UNKNOWN = 255


@cache
def context() -> ForkServerContext | SpawnContext:
    """How this process's children start. For the main thread, before others are started.

    They start afresh where forks are not safe: outside Linux, and in a project that starts threads
    when it is imported, which a fork would not have.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["django_schwartz.preload"])
    return forking


def start(process: BaseProcess) -> None:
    """Start a process of this context. Raises OSError or EOFError where there is none to be had."""
    with _no_program():
        if context().get_start_method() == "forkserver":
            with _our_path():
                forkserver.ensure_running()
        process.start()


@contextmanager
def _our_path() -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ[PATH] = json.dumps([sys.path, before])
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        yield
    finally:
        take_path()


def take_path() -> list[str]:
    """Where the process that set this finds its modules; the environment is as it was then."""
    path, before = json.loads(os.environ.pop(PATH))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return list(path)


@contextmanager
def _no_program() -> Iterator[None]:
    """Have new processes not import the program that runs: it may have no guard against that."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
