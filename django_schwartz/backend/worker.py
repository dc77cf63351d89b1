"""TaskWorker: performs the tasks of one function. Each function has a child of its own."""

from collections.abc import Mapping, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ClassVar, cast

from asgiref.sync import sync_to_async

from django_schwartz.backend.compat import AnyTask, InvalidTaskBackend, TaskContext, task_backends
from django_schwartz.backend.telling import tell_started
from django_schwartz.backend.values import json_value
from django_schwartz.worker import Worker, current_job

if TYPE_CHECKING:
    from django_schwartz.models import Job

#: Seconds that results are kept where nothing else is said: a week.
KEEP_RESULTS_FOR = 604_800

#: What a Worker and a SchwartzTask say in the same words.
POLICY = ("max_retries", "retry_delay", "retry_on", "fail_on", "grab_for", "atomic")


class UnfitValue(Exception):
    """What a task was given is no call, or what it gave cannot be stored. The cause says why."""


class TaskWorker(Worker):
    """Calls the task's function with what a job holds, and completes the job with what it gives."""

    task: ClassVar[AnyTask]

    def work(self, job: "Job") -> None:
        try:
            job.completed(self._value(job))
        except UnfitValue as unfit:
            job.permanent_failure(unfit.__cause__)

    def _value(self, job: "Job") -> Any:
        """What the function gives, as JSON has it. Raises UnfitValue; the function, anything."""
        args, kwargs = self._begin(job)
        return _fit(self.task.call(*args, **kwargs))

    def _begin(self, job: "Job") -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Tell that the task runs; gives what its function is to be called with."""
        from django_schwartz.backend.results import result_of_running

        args, kwargs = _call_in(job)
        running = result_of_running(job)
        tell_started(running)
        if self.task.takes_context:
            args = [TaskContext(task_result=running), *args]
        return args, kwargs

    def get_retry_delay(self, failures: int) -> float:
        backoff = getattr(self.task, "backoff", None)
        return self.retry_delay if backoff is None else backoff(failures)

    def get_keep_exit_status_for(self) -> int:
        of_task: int | None = getattr(self.task, "keep_results_for", None)
        return _kept_by_backend(self._backend()) if of_task is None else of_task

    def _backend(self) -> str:
        """The alias of the backend that the current job was enqueued by, or else the task's own."""
        from django_schwartz.backend.jobs import backend_of

        job = current_job()
        is_mine = job is not None and job.funcname == self.funcname
        return backend_of(job) if job and is_mine else self.task.backend

    def get_keep_errors_for(self) -> int:
        return max(self.keep_errors_for, self.get_keep_exit_status_for())


class AsyncTaskWorker(TaskWorker):
    """The same for a coroutine function, many of which one event loop performs at a time."""

    async def work(self, job: "Job") -> None:  # type: ignore[override] # as Worker allows
        try:
            args, kwargs = await sync_to_async(self._begin)(job)
            job.completed(_fit(await self.task.func(*args, **kwargs)))
        except UnfitValue as unfit:
            job.permanent_failure(unfit.__cause__)


def _fit(value: Any) -> Any:
    """The value as JSON has it. Raises UnfitValue."""
    try:
        return json_value(value)
    except (TypeError, ValueError) as error:
        raise UnfitValue from error


def _call_in(job: "Job") -> tuple[list[Any], dict[str, Any]]:
    from django_schwartz.backend.jobs import call_in

    try:
        return call_in(job.arg)
    except ValueError as error:
        raise UnfitValue from error


def _kept_by_backend(alias: str) -> int:
    try:
        return int(getattr(task_backends[alias], "keep_results_for", KEEP_RESULTS_FOR))
    except InvalidTaskBackend:
        return KEEP_RESULTS_FOR


def worker_of(task: AnyTask) -> type[TaskWorker]:
    """A worker class for the task's function, with the task's policy."""
    policy = {name: getattr(task, name) for name in POLICY if hasattr(task, name)}
    names = {"__module__": task.func.__module__, "__qualname__": task.func.__qualname__}
    kind = AsyncTaskWorker if iscoroutinefunction(task.func) else TaskWorker
    made = type(task.name, (kind,), {**policy, **names, "task": task, "funcname": task.module_path})
    return cast("type[TaskWorker]", made)
