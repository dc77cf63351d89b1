"""SchwartzTask, Django's Task with all that the queue does for one, and `task`, which makes it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, cast, overload

from django_schwartz.backend.compat import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_PRIORITY,
    DEFAULT_TASK_QUEUE_NAME,
    AnyContext,
    AnyTask,
    GenericTask,
    TaskResult,
    task_backends,
)
from django_schwartz.backend.finding import task_named

P = ParamSpec("P")
R = TypeVar("R")

#: A text, or a function of the task's arguments that gives it, or None.
Key = str | Callable[..., str | None] | None


# Without slots of its own, for super() to work.
@dataclass(frozen=True, kw_only=True)
class SchwartzTask(GenericTask[P, R]):
    """A task with the words of a Worker. Seconds are the server's."""

    func: Callable[..., R]
    priority: int = DEFAULT_TASK_PRIORITY
    backend: str = DEFAULT_TASK_BACKEND_ALIAS
    queue_name: str = DEFAULT_TASK_QUEUE_NAME
    #: A timedelta is from the server's now on.
    run_after: datetime | timedelta | None = None  # type: ignore[assignment]
    takes_context: bool = False

    #: Retries after the first attempt.
    max_retries: int = 0
    #: Seconds between a failure and the retry.
    retry_delay: float = 0
    #: The same from the number of failures, as an Exponential gives it.
    backoff: Callable[[int], float] | None = None
    #: Exceptions that a retry may cure, and those of them that it cannot.
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    fail_on: tuple[type[BaseException], ...] = ()
    #: At most one task of a function and a key is queued; a second gives the first one's result.
    uniqkey: Key = None
    #: What the task shares with others, for finding those that belong together.
    coalesce: Key = None
    #: Seconds that a worker may take.
    grab_for: int = 3600
    #: Seconds that the result is kept; None leaves it to OPTIONS["keep_results_for"].
    keep_results_for: int | None = None
    #: Whether what the task writes to the queue's database commits along with its outcome, or not
    #: at all.
    atomic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        made_known = getattr(self.get_backend(), "make_known", None)
        if made_known is not None:
            made_known(self)

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | None = None,
        backend: str | None = None,
        uniqkey: Key = None,
        coalesce: Key = None,
    ) -> Self:
        """A task that differs in what is given. `run_after` may be a timedelta from now on."""
        given = {
            "priority": priority,
            "queue_name": queue_name,
            "run_after": run_after,
            "backend": backend,
            "uniqkey": uniqkey,
            "coalesce": coalesce,
        }
        changed = altered(self, {name: new for name, new in given.items() if new is not None})
        changed.__post_init__()
        return changed

    def enqueue_many(
        self, calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]
    ) -> "list[TaskResult[P, R]]":
        """Enqueue a call for each (args, kwargs), all in one transaction and few statements."""
        backend: Any = self.get_backend()
        if not hasattr(backend, "enqueue_many"):  # that of another project, in its tests say
            return [backend.enqueue(self, args, kwargs) for args, kwargs in calls]
        return cast(
            "list[TaskResult[P, R]]",
            backend.enqueue_many((self, args, kwargs) for args, kwargs in calls),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the function's name and what is the call's own: the rest is in the code."""
        own = {name: getattr(self, name) for name in OF_A_CALL}
        changes = {name: value for name, value in own.items() if not callable(value)}
        return restored, (self.module_path, changes)


#: What using() changes.
OF_A_CALL = ("priority", "queue_name", "run_after", "backend", "uniqkey", "coalesce")

SomeTask = TypeVar("SomeTask", bound=AnyTask)


def altered(task: SomeTask, changes: Mapping[str, Any]) -> SomeTask:
    """The task with other values in these fields, whether its backend finds them valid or not."""
    made = object.__new__(type(task))
    for field in fields(task):
        value = changes.get(field.name, getattr(task, field.name))
        object.__setattr__(made, field.name, value)
    return made


def restored(name: str, changes: Mapping[str, Any]) -> AnyTask:
    """The task of that name with these values. Raises ValueError where it is no task."""
    task = task_named(name)
    if task is None:
        raise ValueError(f"{name!r} is no task here.")
    return altered(task, changes)


@overload
def task(
    function: Callable[P, R],
    *,
    takes_context: Literal[False] = False,
    **options: Any,
) -> SchwartzTask[P, R]: ...


@overload
def task(
    function: Callable[Concatenate[AnyContext, P], R],
    *,
    takes_context: Literal[True],
    **options: Any,
) -> SchwartzTask[P, R]: ...


@overload
def task(
    *,
    takes_context: Literal[True],
    **options: Any,
) -> Callable[[Callable[Concatenate[AnyContext, P], R]], SchwartzTask[P, R]]: ...


@overload
def task(
    *,
    takes_context: Literal[False] = False,
    **options: Any,
) -> Callable[[Callable[P, R]], SchwartzTask[P, R]]: ...


def task(
    function: Callable[..., Any] | None = None,
    *,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    **options: Any,
) -> Any:
    """Make a task of a function. As Django's own decorator, with SchwartzTask's options too.

    It is a SchwartzTask on any backend, so that settings for tests may name another one.
    """
    if "run_after" in options:
        raise TypeError("run_after belongs to a call: use .using(run_after=...).")

    def decorate(func: Callable[..., Any]) -> SchwartzTask[Any, Any]:
        kind: Any = getattr(task_backends[backend], "task_class", SchwartzTask)
        kind = kind if issubclass(kind, SchwartzTask) else SchwartzTask
        return cast("SchwartzTask[Any, Any]", kind(func=func, backend=backend, **options))

    return decorate(function) if function else decorate
