"""What a Worker can say, a task can say too: in its decorator, and some of it for one call."""

import random
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from django_schwartz.backend import Exponential, SchwartzTask, task
from django_schwartz.backend.compat import TaskResultStatus
from django_schwartz.models import Error, ExitStatus, Job
from django_schwartz.worker import Worker, registry
from tests.app import tasks
from tests.rows import come_due

READY, FAILED = TaskResultStatus.READY, TaskResultStatus.FAILED


def worker_of(a_task):
    return registry[a_task.module_path]


def test_a_task_without_options_has_a_workers_defaults():
    worker = worker_of(tasks.add)

    assert (worker.max_retries, worker.retry_delay, worker.grab_for) == (0, 0, Worker.grab_for)


def test_max_retries_are_retries_after_the_first_attempt(backend, work):
    result = tasks.fail_twice_again.enqueue()

    work()

    assert backend.get_result(result.id).attempts == 3


def test_a_backoff_gives_the_seconds_by_the_number_of_failures(client, work):
    tasks.wait_longer.enqueue()
    delays = []
    for _ in range(2):
        work()
        job = Job.objects.get()
        delays.append(job.run_after - Error.objects.latest("pk").error_time)
        come_due(job.handle)

    assert [delay // timedelta(seconds=60) for delay in delays] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "status"), [("OSError", READY), ("FileNotFoundError", FAILED), ("KeyError", FAILED)]
)
def test_the_exception_decides_whether_a_retry_is_of_use(backend, client, kind, status):
    result = tasks.retry_on_oserror.enqueue(kind)
    client.can_do_all()

    client.work_once()

    assert backend.get_result(result.id).status == status


def test_a_workers_class_decides_by_exception_too(client):
    class Picky(Worker):
        max_retries = 9
        fail_on = (KeyError,)

        def work(self, job):
            raise KeyError(job.arg)

    registry.register(Picky)
    client.can_do(Picky)
    handle = client.dispatch_async("Picky", 1)

    client.work_until_done()

    assert (handle.is_pending, handle.failures) == (False, 1)


def test_one_key_is_queued_once_and_gives_the_queued_ones_result(backend):
    first = tasks.greet.enqueue("ann", greeting="hello")
    second = tasks.greet.enqueue("ann", greeting="bye")
    other = tasks.greet.enqueue("bob")

    assert second == first
    assert other.id != first.id
    assert first.task.uniqkey == "user-ann"
    assert [job.coalesce for job in Job.objects.all()] == ["users", "users"]


def test_a_key_is_free_again_when_its_task_is_done(backend, work):
    first = tasks.greet.enqueue("ann")
    work()

    second = tasks.greet.enqueue("ann")

    assert second.id != first.id


def test_one_call_has_a_key_of_its_own(backend):
    result = tasks.add.using(uniqkey="sum", coalesce="sums").enqueue(1)

    assert (result.task.uniqkey, result.task.coalesce) == ("sum", "sums")
    assert tasks.add.using(uniqkey="sum").enqueue(2).id == result.id
    assert backend.get_result(result.id) == result


@pytest.mark.parametrize("key", ["a\0b", "\udc80", "x" * 256, 1.5])
def test_a_key_that_no_database_can_hold_is_refused(database, key):
    with pytest.raises((TypeError, ValueError)):
        tasks.add.using(uniqkey=key).enqueue(1)

    assert not Job.objects.exists()


def test_higher_priorities_are_performed_first(client, work):
    numbers = [tasks.add.using(priority=priority).enqueue(1).id for priority in (-5, 0, 90)]
    client.can_do_all()

    grabbed = [str(client.find_job_for_workers().handle) for _ in numbers]

    assert grabbed == numbers[::-1]


def test_grab_for_is_the_lease(database, client):
    brief = replace(tasks.add, grab_for=77)
    registry.unregister(worker_of(tasks.add))
    type(brief.get_backend()).make_known(brief)
    brief.enqueue(1)
    client.can_do(brief.module_path)

    job = client.find_job_for_workers()

    assert job.grabbed_until.timestamp() - int(job.grabbed_at.timestamp()) == 77


@pytest.mark.parametrize(
    ("a_task", "seconds"),
    [
        (tasks.add, 604_800),
        (tasks.add.using(backend="other"), 60),
        (replace(tasks.add, backend="other"), 60),
    ],
)
def test_a_result_is_kept_as_the_options_of_its_backend_say(work, backend, a_task, seconds):
    a_task.enqueue(1)

    work()

    [row] = ExitStatus.objects.all()
    assert row.delete_after - row.completion_time == timedelta(seconds=seconds)


def test_a_result_is_kept_as_its_task_says(work, backend):
    tasks.forget.enqueue()

    work()

    assert not ExitStatus.objects.exists()


def test_errors_are_kept_as_long_as_the_result(monkeypatch):
    monkeypatch.setattr(worker_of(tasks.add), "task", replace(tasks.add, keep_results_for=10**6))

    assert worker_of(tasks.add).policy("keep_errors_for") == 10**6


def test_djangos_own_words_stay():
    again = tasks.add.using(priority=3).using(queue_name="reports").using(uniqkey="u")

    assert (again.priority, again.queue_name, again.uniqkey) == (3, "reports", "u")
    assert tasks.add.using() == tasks.add
    assert tasks.add.using() is not tasks.add


def test_run_after_is_for_a_call_not_for_a_task():
    with pytest.raises(TypeError, match=r"use \.using\(run_after=\.\.\.\)"):
        task(run_after=timedelta(1))(tasks.add.func)


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="retries"):
        task(retries=3)(tasks.add.func)


def test_the_decorator_serves_other_backends_too(settings):
    from django_schwartz.backend.compat import Task

    module = Task.__module__.partition(".base")[0]
    settings.TASKS = {"default": {"BACKEND": f"{module}.backends.immediate.ImmediateBackend"}}

    inline = task(max_retries=3)(tasks.add.func)

    assert isinstance(inline, SchwartzTask)
    assert inline.enqueue(1, other=2).return_value == 3
    assert [r.return_value for r in inline.enqueue_many([([1], {}), ([2], {})])] == [1, 2]


def test_every_option_is_a_field_of_the_task():
    names = {field.name for field in fields(SchwartzTask)}

    assert names >= {
        "max_retries",
        "retry_delay",
        "backoff",
        "retry_on",
        "fail_on",
        "uniqkey",
        "coalesce",
        "grab_for",
        "keep_results_for",
        "atomic",
    }


# Backoff


def test_seconds_grow_to_the_cap():
    backoff = Exponential(first=10, factor=3, cap=100, jitter=0)

    assert [backoff(failures) for failures in (1, 2, 3, 4, 5000)] == [10, 30, 90, 100, 100]
    assert Exponential(factor=1.5, cap=7, jitter=0)(5000) == 7


@pytest.mark.parametrize(("chance", "seconds"), [(0, 10), (0.5, 7.5), (1, 5)])
def test_jitter_takes_a_part_away_by_chance(chance, seconds):
    assert Exponential(first=10, jitter=0.5, chance=lambda: chance)(1) == seconds


def test_jitter_spreads_those_who_failed_together():
    backoff = Exponential(first=10, chance=random.Random(1).random)

    assert len({backoff(1) for _ in range(100)}) == 100
    assert all(5 <= backoff(1) <= 10 for _ in range(100))
