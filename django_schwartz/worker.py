"""Workers: what performs jobs, and the registry that finds them by name. Imports no model."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django_schwartz.exceptions import UnknownFunction

if TYPE_CHECKING:
    from django_schwartz.models import Job
    from django_schwartz.performance import Performance

logger = logging.getLogger("django_schwartz")

#: The performance that this thread or task is in.
current_performance: ContextVar["Performance | None"] = ContextVar(
    "current_performance", default=None
)


#: The job that was made the current one outside of a performance.
_made_current: ContextVar["Job | None"] = ContextVar("made_current", default=None)


def current_job() -> "Job | None":
    """The job that this thread or task performs, or that was made the current one since."""
    performance = current_performance.get()
    return performance.current_job if performance else _made_current.get()


def make_current(job: "Job") -> None:
    """Make it the job that this thread or task performs."""
    performance = current_performance.get()
    if performance:
        performance.current_job = job
    else:
        _made_current.set(job)


#: More seconds than anybody waits; a policy's infinity is cut to it.
FOREVER = 10**10


class Worker:
    """Performs the jobs of one function. Subclass it, write `work`, and register() the class."""

    #: The name that jobs are dispatched to; the class's own unless it says otherwise.
    funcname: ClassVar[str] = "Worker"
    #: Retries after the first attempt: 5 are 6 attempts.
    max_retries: int = 0
    #: Crashes of its process after which a job still comes back, however few its retries are.
    max_crashes: int = 1
    #: Seconds between a failure and the retry.
    retry_delay: float = 0
    #: Seconds that the exit status is kept after the job has left the queue; 0 keeps none.
    keep_exit_status_for: int = 0
    #: Whether what work() writes to the job's database and the job's completion are one
    #: transaction, which is rolled back where the job fails or its lease is lost.
    atomic: bool = False
    #: Seconds that a worker may hold a job.
    grab_for: int = 3600
    #: Seconds that errors are kept after their job has left the queue.
    keep_errors_for: int = 604_800
    #: How args are stored: "json", "storable" (for Perl workers) or "raw" (bytes, never
    #: interpreted).
    arg_format: str = "json"
    #: Exceptions that a retry may cure, and those of them that it cannot: they fail the job for
    #: good.
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    fail_on: tuple[type[BaseException], ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "funcname" not in cls.__dict__:
            cls.funcname = cls.__name__

    def work(self, job: "Job") -> object:
        """Perform the job, and say how it went: completed(), failed(), replace_with() ...

        Returning without a word, or raising anything, is a failure.
        """
        raise NotImplementedError(f"{type(self).__name__} has no work() method.")

    def get_max_retries(self, job: "Job") -> int:
        return self.max_retries

    def get_max_crashes(self, job: "Job") -> int:
        return self.max_crashes

    def get_retry_delay(self, failures: int) -> float:
        """Seconds until the retry after this many failures; nothing or 0 is at once."""
        return self.retry_delay

    def get_keep_exit_status_for(self) -> int:
        return self.keep_exit_status_for

    def get_grab_for(self) -> int:
        return self.grab_for

    def get_keep_errors_for(self) -> int:
        return self.keep_errors_for

    @classmethod
    def may_retry(cls, error: BaseException) -> bool:
        """Whether a job that raised this is to be retried, if it has retries left."""
        return isinstance(error, cls.retry_on) and not isinstance(error, cls.fail_on)

    @classmethod
    def is_async(cls) -> bool:
        """Whether work() is a coroutine, many of which one thread performs at a time."""
        return iscoroutinefunction(cls.work)

    @classmethod
    def policy(cls, name: str, *args: object) -> float:
        """What the hook `get_<name>` says, or the attribute if it raises or gives no number.

        Worker's own attribute where that is no number either.
        """
        hook, own = _HOOKS[name]
        if getattr(cls, hook) is own and cls.__init__ is object.__init__:
            value = getattr(cls, name)  # which is all that Worker's own hooks say
            if type(value) is int and abs(value) <= FOREVER:
                return value
        try:
            return _finite(getattr(cls(), hook)(*args))
        except (Exception, SystemExit, KeyboardInterrupt):
            value = _first_number(getattr(cls, name), getattr(Worker, name))
            logger.exception("%s.get_%s() failed; %s = %g holds", cls.__name__, name, name, value)
            return value

    @classmethod
    def grab_job(cls, client: Any) -> "Job | None":
        """Grab the next job of this function for the client. As TheSchwartz::Worker->grab_job."""
        job: Job | None = client.find_job_for_workers([cls])
        return job


#: By policy, the hook for it and Worker's own one.
_HOOKS = {
    name.removeprefix("get_"): (name, hook)
    for name, hook in vars(Worker).items()
    if name.startswith("get_")
}


def _finite(value: Any) -> float:
    """The value as a number that fits the columns; nothing is 0.

    Raises TypeError, ValueError or OverflowError for no number.
    """
    number = float(value or 0)
    if -FOREVER <= number <= FOREVER:
        return number
    if math.isnan(number):
        raise ValueError(f"{value!r} is no number.")
    return math.copysign(FOREVER, number)


def _first_number(*values: Any) -> float:
    for value in values:
        with suppress(TypeError, ValueError, OverflowError):
            return _finite(value)
    return 0


WorkerClass = TypeVar("WorkerClass", bound=type[Worker])


class Registry:
    """Worker classes by funcname. The first of a name stays; the checks report the others."""

    def __init__(self) -> None:
        self._workers: dict[str, type[Worker]] = {}
        self.conflicts: list[tuple[type[Worker], type[Worker]]] = []
        #: Asked for the worker of a name that is not registered; they give None for no such one.
        self.finders: list[Callable[[str], type[Worker] | None]] = []

    def register(self, worker: WorkerClass) -> WorkerClass:
        given: object = worker
        if given is Worker or not (isinstance(given, type) and issubclass(given, Worker)):
            raise TypeError(f"register() takes a subclass of Worker, not {worker!r}.")
        known = self._workers.setdefault(worker.funcname, worker)
        if known is not worker:
            self.conflicts.append((known, worker))
        return worker

    def unregister(self, worker: type[Worker]) -> None:
        if self._workers.get(worker.funcname) is worker:
            del self._workers[worker.funcname]

    def find(self, funcname: str) -> type[Worker] | None:
        """The worker class of that name, found and registered if it was not; None for no such."""
        for finder in self.finders if funcname not in self._workers else ():
            if found := finder(funcname):
                return self._workers.setdefault(funcname, found)
        return self._workers.get(funcname)

    @contextmanager
    def as_it_was(self) -> Iterator[None]:
        """Forget, after the block, what was registered in it."""
        workers, conflicts = dict(self._workers), list(self.conflicts)
        try:
            yield
        finally:
            self._workers, self.conflicts = workers, conflicts

    def __iter__(self) -> Iterator[type[Worker]]:
        return iter(list(self._workers.values()))

    def __contains__(self, funcname: str) -> bool:
        return funcname in self._workers

    def __getitem__(self, funcname: str) -> type[Worker]:
        """The worker class of that name, as find(). Raises UnknownFunction."""
        worker = self._workers.get(funcname) or self.find(funcname)
        if worker is None:
            raise UnknownFunction(funcname)
        return worker

    def get(self, funcname: str) -> type[Worker]:
        """The worker class of that name, or Worker itself with its defaults where there is none."""
        return self._workers.get(funcname, Worker)


registry = Registry()


def register(worker: WorkerClass) -> WorkerClass:
    """Make a worker class known by its funcname. To be called, or to decorate the class."""
    return registry.register(worker)
