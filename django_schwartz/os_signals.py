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
from types import FrameType

logger = logging.getLogger("django_schwartz")


#: No signal's number: the end of them.
NO_MORE = 0


def obey(handlers: Mapping[int, Callable[[int], object]]) -> Callable[[], None]:
    """Have each signal, by number, call its handler from now on; gives how to end that.

    For the main thread.
    """
    came: SimpleQueue[int] = SimpleQueue()  # whose put() may interrupt itself

    def run() -> None:
        for number in iter(came.get, NO_MORE):
            handlers[number](number)

    thread = threading.Thread(target=run, name="signals", daemon=True)
    thread.start()
    restore = handle(dict.fromkeys(handlers, lambda number, _: came.put(number)))

    def end() -> None:
        restore()
        came.put(NO_MORE)
        thread.join()

    return end


def handle(handlers: Mapping[int, Callable[[int, FrameType | None], object]]) -> Callable[[], None]:
    """Set the signals' handlers; gives how to have those back that were there before."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # one that Python did not set, and cannot set
                signal.signal(number, handler)

    return restore


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
