"""A task's call as a job, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django_schwartz.backend.compat import DEFAULT_TASK_BACKEND_ALIAS, AnyTask
from django_schwartz.backend.task import Key
from django_schwartz.backend.values import json_text
from django_schwartz.models import ExitStatus, Job
from django_schwartz.serializers import checked_name


def job_of(task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any], *, backend: str) -> Job:
    """The job that calls the task. Raises TypeError or ValueError for args that no job can hold."""
    text = json_text({"args": args, "kwargs": kwargs})
    args, kwargs = call_in(json.loads(text))
    return Job(
        funcname=task.module_path,  # type: ignore[misc] # a property
        arg=text.encode(),
        priority=int(task.priority),
        queue_name=task.queue_name,
        run_after=task.run_after,
        uniqkey=_key_of(task, "uniqkey", args, kwargs),
        coalesce=_key_of(task, "coalesce", args, kwargs),
        meta=None if backend == DEFAULT_TASK_BACKEND_ALIAS else {"backend": backend},
    )


def _key_of(task: AnyTask, what: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    key: Key = getattr(task, what, None)
    return checked_name(what, key(*args, **kwargs) if callable(key) else key)


def call_in(arg: object) -> tuple[list[Any], dict[str, Any]]:
    """The args and kwargs that a job's arg holds. Raises ValueError for any other arg."""
    match arg:
        case {"args": list(args), "kwargs": dict(kwargs)}:
            return args, kwargs
    given = type(arg).__name__  # what is in it is nobody's business
    raise ValueError(
        f'A task takes {{"args": [...], "kwargs": {{...}}}} as arg; this {given} is none.'
    )


def backend_of(row: Job | ExitStatus) -> str:
    """The alias of the backend that the task was enqueued by."""
    match row.meta:
        case {"backend": str(alias)}:
            return alias
    return DEFAULT_TASK_BACKEND_ALIAS
