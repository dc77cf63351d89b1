"""What mypy makes of code that uses the queue: `mypy` reads this file, and nothing runs it."""

from datetime import timedelta
from typing import Any, assert_type

from django_schwartz import Worker, register
from django_schwartz.backend import Exponential, SchwartzTask, task
from django_schwartz.backend.compat import AnyContext, TaskResult
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Error, ExitStatus, Job, JobHandle


@register
class SendMail(Worker):
    max_retries = 5

    def work(self, job: Job) -> None:
        assert_type(job.completed(), bool)
        assert_type(job.funcname, str)
        assert_type(job.handle, JobHandle | None)
        assert_type(job.uniqkey, str | None)

    def get_retry_delay(self, failures: int) -> float:
        return 60.0 * failures


def the_client() -> None:
    client = TheSchwartz()
    handle = client.dispatch_async("SendMail", {"to": "ann@example.org"})
    assert_type(handle, JobHandle)
    assert_type(handle.exit_status, int | None)
    assert_type(handle.failures, int)
    assert_type(handle.failure_log, list[str])
    assert_type(handle.is_pending, bool)
    assert_type(handle.job, Job | None)
    assert_type(client.dispatch_async(Job(), on_commit=True), None)
    assert_type(client.dispatch_jobs([Job()]), list[JobHandle])
    assert_type(client.lookup_job("default-1"), Job | None)
    assert_type(client.find_job_for_workers([SendMail, "Other"]), Job | None)
    assert_type(Error.objects.of(1).first(), Error | None)
    assert_type(ExitStatus.objects.get().status, int)


def a_class_stays_its_class() -> None:
    assert_type(register(SendMail), type[SendMail])
    register(int)  # type: ignore[type-var]


@task
def add(one: int, other: int = 0) -> int:
    return one + other


@task(max_retries=3, backoff=Exponential(cap=60), uniqkey=lambda user: f"user-{user}")
def greet(user: str) -> str:
    return f"hello {user}"


@task(takes_context=True)
def attempt(context: AnyContext, what: str) -> bool:
    return context.attempt > 1


@task
async def add_later(one: int) -> int:
    return one


def tasks() -> None:
    the_task: SchwartzTask[Any, int] = add
    result = add.enqueue(1, other=2)
    assert_type(result.return_value, int)
    assert_type(the_task.max_retries, int)
    assert_type(result.errors[0].traceback, str)
    assert_type(add.get_result(result.id).return_value, int)
    assert_type(add.call(1), int)
    assert_type(greet.enqueue("ann").return_value, str)
    assert_type(attempt.enqueue("what").return_value, bool)
    assert_type(greet.using(uniqkey="u", run_after=timedelta(hours=1)).enqueue("x").id, str)
    add.enqueue("one")  # type: ignore[arg-type]
    greet.enqueue()  # type: ignore[call-arg]
    attempt.enqueue(1)  # type: ignore[arg-type]


async def in_async_code() -> None:
    assert_type((await add.aenqueue(1)).return_value, int)


def many() -> list[TaskResult[Any, int]]:
    return add.enqueue_many([([1], {}), ([2], {"other": 3})])
