"""The operating system's signals, obeyed in a thread of their own.

A handler runs in the middle of whatever the main thread does. If that holds a lock which the
handler wants, of an Event or of a log's handler, both wait for ever.
"""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import current_process
from queue import SimpleQueue

logger = logging.getLogger("django_schwartz")


def obey(handlers: Mapping[int, Callable[[int], object]]) -> None:
    """Have each signal, by number, call its handler from now on. For the main thread."""
    came: SimpleQueue[int] = SimpleQueue()  # whose put() may interrupt itself

    def run() -> None:
        while True:
            number = came.get()
            handlers[number](number)

    threading.Thread(target=run, name="signals", daemon=True).start()
    for number in handlers:
        signal.signal(number, lambda number, _: came.put(number))


def told_to_stop() -> list[int]:
    """The signals that ask for an end in order; not the terminal's, where nohup has it ignored."""
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if is_nohup else [signal.SIGHUP])]


def dump_stacks(number: int) -> None:
    """Log where every thread is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    process = f"{current_process().name} ({os.getpid()})"
    for ident, top in sys._current_frames().items():
        stack = "".join(traceback.format_stack(top))
        thread = names.get(ident, ident)
        logger.warning("stack of thread %s in %s:\n%s", thread, process, stack)
