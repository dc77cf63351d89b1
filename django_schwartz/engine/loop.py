"""The loop: one thread that performs the jobs of coroutines, many at a time."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django_schwartz.engine.holds import Holds
from django_schwartz.models import Job
from django_schwartz.performance import GrabAlong, Performer

logger = logging.getLogger("django_schwartz")


class Loop:
    """In the place of a Crew; `size` is the number of jobs that it performs at a time."""

    def __init__(
        self, holds: Holds, *, size: int, on_room: Callable[[], object], grab_along: GrabAlong
    ) -> None:
        self.size = size
        self._holds = holds
        self._grab_along = grab_along
        self._on_room = on_room
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="event loop", daemon=True)
        self._waiting: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = True

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> int:
        return self.size - len(self._tasks)

    def start(self) -> None:
        self._thread.start()

    def put(self, jobs: Iterable[Job]) -> None:
        self._waiting.extend(jobs)
        self._loop.call_soon_threadsafe(self._go_on)

    def take_back(self) -> list[Job]:
        taken: list[Job] = []
        while self._waiting:
            try:
                taken.append(self._waiting.pop())
            except IndexError:  # the loop was faster
                break
        return taken

    def stop(self) -> None:
        self._is_open = False
        self._loop.call_soon_threadsafe(self._go_on)

    def join(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while self._is_open or self._tasks:
            self._run_until_stopped()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _run_until_stopped(self) -> None:
        """Run the loop. A job's code may end it, too: by stop(), or by sys.exit() in a task."""
        try:
            self._loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - the other jobs are not to blame
            logger.warning("a task of a job broke out of the event loop, which goes on: %r", error)

    def _go_on(self) -> None:
        """In the loop: begin with what there is room for, and end when all is done."""
        while self._is_open and self._waiting and len(self._tasks) < self.size:
            job = self._waiting.popleft()
            task = self._loop.create_task(self._perform(job))
            self._tasks.add(task)
            task.add_done_callback(self._forget)
        if not self._is_open and not self._tasks:
            self._loop.stop()

    async def _perform(self, job: Job) -> None:
        task: Any = asyncio.current_task()
        stop_this = partial(self._loop.call_soon_threadsafe, task.cancel)
        performer = Performer(partial(self._holds.begin, stop_this), self._grab_along)
        try:
            await performer.perform_async(job)
        except Exception:
            logger.exception("%s has no outcome: it comes back when its lease ends", job.handle)
        finally:
            self._holds.end(job)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on()
        self._on_room()
