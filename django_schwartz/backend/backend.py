"""SchwartzBackend: what Django's tasks ask of the queue."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage

from django_schwartz.backend.checks import check_options
from django_schwartz.backend.compat import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    task_backends,
)
from django_schwartz.backend.finding import make_known
from django_schwartz.backend.task import SchwartzTask, altered
from django_schwartz.backend.telling import tell_enqueued, tell_finished
from django_schwartz.backend.worker import KEEP_RESULTS_FOR
from django_schwartz.conf import Conf, conf
from django_schwartz.exceptions import InvalidHandle
from django_schwartz.signals import job_finished

if TYPE_CHECKING:
    from django_schwartz.client import TheSchwartz
    from django_schwartz.models import Job

#: A task, its args and its kwargs.
Call = tuple[AnyTask, Sequence[Any], Mapping[str, Any]]


class SchwartzBackend(BaseTaskBackend):
    """Enqueues tasks as jobs, and reads their results back.

    OPTIONS: `keep_results_for`, seconds; `database`, the alias of the queue's database that takes
    the tasks, any of SCHWARTZ["DATABASES"] unless given.
    """

    task_class = SchwartzTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, dict(params))
        job_finished.connect(tell_finished)  # as often as you like
        self._conf: Conf | None = None
        self._client: TheSchwartz | None = None

    @property
    def keep_results_for(self) -> int:
        return int(self.options.get("keep_results_for", KEEP_RESULTS_FOR))

    @property
    def client(self) -> "TheSchwartz":
        from django_schwartz.client import TheSchwartz

        if self._client is None or self._conf is not conf():
            self._client, self._conf = TheSchwartz(), conf()
        return self._client

    def validate_task(self, task: AnyTask) -> None:
        """Raise InvalidTask for a task that cannot be enqueued. No query."""
        if isinstance(task.run_after, timedelta):
            task = altered(task, {"run_after": None})
        super().validate_task(task)

    @staticmethod
    def make_known(task: AnyTask) -> None:
        """Have the workers of this process perform the task's function."""
        make_known(task)

    def enqueue(self, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AnyResult:
        """Put the call into the queue: one statement, in the caller's transaction.

        Raises TypeError or ValueError for args that cannot be stored, before the statement.
        """
        return self.enqueue_many([(task, args, kwargs)])[0]

    def enqueue_many(self, calls: Iterable[Call]) -> list[AnyResult]:
        """Put many calls into the queue, all in one database and one transaction. As enqueue."""
        jobs = [(task, self._job(task, args, kwargs)) for task, args, kwargs in calls]
        self.client.dispatch_jobs([job for _, job in jobs], using=self.options.get("database"))
        return [self._enqueued(task, job) for task, job in jobs]

    def _job(self, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> "Job":
        from django_schwartz.backend.jobs import job_of

        self.validate_task(task)
        make_known(task)
        return job_of(task, args, kwargs, backend=self.alias)

    def _enqueued(self, task: AnyTask, job: "Job") -> AnyResult:
        """The result of a task that is queued now, or that was before with the same uniqkey."""
        from django_schwartz.backend.results import read_result, result_of_dispatched

        queued = read_result(job.handle) if job.handle and job.is_duplicate else None
        result = queued or result_of_dispatched(task, job)
        if not job.is_duplicate:
            tell_enqueued(result)
        return result

    def get_result(self, result_id: str) -> AnyResult:
        """The result of a task. Raises TaskResultDoesNotExist; also for one kept no more."""
        from django_schwartz.backend.results import read_result

        try:
            handle = self.client.handle_from_string(str(result_id))
        except InvalidHandle as error:
            raise TaskResultDoesNotExist(result_id) from error
        result = read_result(handle)
        if result is None:
            raise TaskResultDoesNotExist(result_id)
        return result

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return list(check_options(self.alias, self.options))


def schwartz_backends() -> list[SchwartzBackend]:
    """The backends of TASKS that are the queue's, but for those that cannot be made."""
    found = []
    for alias in task_backends:
        with suppress(InvalidTaskBackend):
            backend = task_backends[alias]
            if isinstance(backend, SchwartzBackend):
                found.append(backend)
    return found
