"""The signals of django.tasks, sent along with the queue's own; a raising receiver changes nothing.

Imports no model when it is loaded.
"""

from typing import TYPE_CHECKING

from django.dispatch import Signal

from django_schwartz.backend.compat import (
    AnyResult,
    BaseTaskBackend,
    InvalidTaskBackend,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)

if TYPE_CHECKING:
    from django_schwartz.models import Job, Outcome


def tell_enqueued(result: AnyResult) -> None:
    _tell(task_enqueued, result)


def tell_started(result: AnyResult) -> None:
    _tell(task_started, result)


def tell_finished(*, job: "Job", outcome: "Outcome", **_: object) -> None:
    """Tell of a task that succeeded or failed for good, while its exception can still be asked for.

    Django's own log and the error monitors take it from sys.exc_info().
    """
    from django_schwartz.backend.finding import task_named
    from django_schwartz.backend.results import result_of_finished

    if outcome.exit_status is None or task_named(job.funcname) is None:
        return
    result = result_of_finished(job, outcome)
    error = outcome.failure.error if outcome.failure else None
    if error is None:
        _tell(task_finished, result)
        return
    try:
        raise error  # noqa: TRY301
    except BaseException:  # noqa: BLE001 - whatever the task raised
        _tell(task_finished, result)


def _tell(signal: Signal, result: AnyResult) -> None:
    signal.send_robust(_class_of(result.backend), task_result=result)


def _class_of(alias: str) -> type[BaseTaskBackend]:
    try:
        return type(task_backends[alias])
    except InvalidTaskBackend:  # TASKS has it no more
        return BaseTaskBackend
