"""What enqueue() tells of a task is what get_result() tells of it, field by field."""

import pickle
from dataclasses import fields
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from django_schwartz.backend.compat import TaskResultDoesNotExist, TaskResultStatus, task_backends
from django_schwartz.backend.task import restored
from django_schwartz.models import ExitStatus, Job
from django_schwartz.performance import fails_as_crashed
from tests.app import tasks
from tests.rows import come_due, end_lease

READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING
FAILED, SUCCESSFUL = TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL


def as_dict(result):
    return {field.name: getattr(result, field.name) for field in fields(result)}


def calls():
    later = timezone.now() + timedelta(days=1, microseconds=7)
    return {
        "plain": (tasks.add, [1], {"other": 2}),
        "async": (tasks.add_later, [], {}),
        "changed by JSON": (tasks.add, [(1, (2,))], {"other": {3: b"four"}}),
        "priority": (tasks.add.using(priority=7), [], {}),
        "a whole float as priority": (tasks.add.using(priority=-3.0), [], {}),
        "queue": (tasks.add.using(queue_name="reports"), [], {}),
        "a moment": (tasks.add.using(run_after=later), [], {}),
        "a past moment": (tasks.add.using(run_after=later - timedelta(days=9)), [], {}),
        "keys": (tasks.add.using(uniqkey="u", coalesce="c"), [], {}),
        "long text": (tasks.add, ["é" * 1000], {}),
    }


@pytest.mark.parametrize("what", calls())
def test_what_enqueue_returns_is_what_get_result_returns(backend, what):
    task, args, kwargs = calls()[what]

    result = task.enqueue(*args, **kwargs)

    assert as_dict(backend.get_result(result.id)) == as_dict(result)
    assert result.task == task
    assert result.status == READY
    assert (result.started_at, result.last_attempted_at, result.finished_at) == (None, None, None)
    assert (result.errors, result.worker_ids, result.attempts) == ([], [], 0)


def test_a_key_that_is_a_number_is_told_as_text(backend):
    result = tasks.add.using(uniqkey=7, coalesce=8).enqueue(1)

    assert (result.task.uniqkey, result.task.coalesce) == ("7", "8")
    assert backend.get_result(result.id) == result


def test_a_timedelta_is_from_the_servers_now_on(backend):
    result = tasks.add.using(run_after=timedelta(hours=1, microseconds=3)).enqueue()

    assert result.task.run_after - result.enqueued_at == timedelta(hours=1, microseconds=3)
    assert as_dict(backend.get_result(result.id)) == as_dict(result)


def test_without_time_zones_the_times_are_naive(backend, settings):
    settings.USE_TZ = False
    later = datetime(2040, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001

    result = tasks.add.using(run_after=later).enqueue()

    assert result.task.run_after == later
    assert as_dict(backend.get_result(result.id)) == as_dict(result)
    assert result.enqueued_at.tzinfo is None


def test_each_backend_reads_its_own_alias(database):
    result = tasks.add.using(backend="other", queue_name="reports").enqueue(1)

    assert result.backend == "other"
    assert as_dict(task_backends["other"].get_result(result.id)) == as_dict(result)


def test_the_id_is_the_handle_of_the_job(backend, client):
    result = tasks.add.enqueue(1)

    assert str(client.lookup_job(result.id).handle) == result.id


def test_what_the_function_returned_is_the_results_value(backend, work):
    result = tasks.add.enqueue(1, other=2)

    work()

    assert result.status == READY
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (SUCCESSFUL, 3, 1)
    assert result.enqueued_at <= result.started_at == result.last_attempted_at <= result.finished_at


def test_an_async_function_is_run_to_its_end(backend, work):
    result = tasks.add_later.enqueue(1, other=2)

    work()

    assert backend.get_result(result.id).return_value == 3


@pytest.mark.parametrize(("what", "value"), [("tuple", [1, {"2": [3]}]), ("none", None)])
def test_a_value_comes_back_as_json_has_it(backend, work, what, value):
    result = tasks.give.enqueue(what)

    work()

    assert backend.get_result(result.id).return_value == value


def test_a_held_task_is_running(backend, client):
    result = tasks.add.enqueue(1)
    client.can_do_all()

    job = client.find_job_for_workers()

    running = backend.get_result(result.id)
    assert (running.status, running.attempts) == (RUNNING, 1)
    assert running.started_at == running.last_attempted_at == job.grabbed_at
    assert running.worker_ids == [job.grabbed_by]


def test_a_task_whose_lease_ended_is_ready_again_and_was_attempted(backend, client):
    result = tasks.add.enqueue(1)
    client.can_do_all()
    client.find_job_for_workers()

    end_lease(client.handle_from_string(result.id))

    lapsed = backend.get_result(result.id)
    assert (lapsed.status, lapsed.attempts) == (READY, 1)


def attempt_and_die(client, result):
    """Begin the task and leave it; gives whether it has failed for good before that."""
    client.can_do_all()
    job = client.find_job_for_workers()
    if job.is_lapsed and fails_as_crashed(job):
        return True
    end_lease(client.handle_from_string(result.id))
    return False


def test_an_attempt_after_the_workers_death_is_another_one(backend, client, work):
    result = tasks.attempts_of.enqueue()
    attempt_and_die(client, result)

    work()

    done = backend.get_result(result.id)
    assert (done.status, done.attempts, len(done.errors)) == (SUCCESSFUL, 2, 1)
    assert done.return_value["attempt"] == 2


def test_an_attempt_that_fails_after_the_workers_death_is_another_one(backend, client, work):
    result = tasks.fail.enqueue()
    attempt_and_die(client, result)

    work()

    failed = backend.get_result(result.id)
    assert (failed.status, failed.attempts, len(failed.errors)) == (FAILED, 2, 2)


def test_a_task_of_which_every_worker_died_was_attempted_as_often(backend, client):
    result = tasks.add.enqueue(1)

    begun = 0
    while not attempt_and_die(client, result):
        begun += 1

    failed = backend.get_result(result.id)
    assert (failed.status, failed.attempts, len(failed.errors)) == (FAILED, begun, begun)


def test_a_task_that_was_given_back_was_not_attempted(backend, client):
    result = tasks.add.enqueue(1)
    client.can_do_all()

    client.find_job_for_workers().give_back()

    assert as_dict(backend.get_result(result.id)) == as_dict(result)


def test_a_failed_task_tells_its_error(backend, work):
    result = tasks.fail.enqueue()

    work()

    failed = backend.get_result(result.id)
    assert (failed.status, failed.attempts) == (FAILED, 1)
    [error] = failed.errors
    assert error.exception_class is ValueError
    assert error.traceback.endswith("ValueError: it failed\n")
    with pytest.raises(ValueError, match="Task failed"):
        _ = failed.return_value


def test_each_failed_attempt_has_an_error_and_a_worker(backend, work, client):
    result = tasks.attempts_of.enqueue(fail_until=0)
    retried = tasks.fail_twice_again.enqueue()

    work()

    assert backend.get_result(result.id).return_value == {"attempt": 1, "id": result.id}
    failed = backend.get_result(retried.id)
    assert (failed.status, failed.attempts, len(failed.errors)) == (FAILED, 3, 3)
    assert len(set(failed.worker_ids)) == 3
    assert failed.started_at < failed.last_attempted_at <= failed.finished_at


def test_a_task_to_be_retried_is_ready_with_its_errors(backend, client, work):
    result = tasks.wait_longer.enqueue()

    work()

    ready = backend.get_result(result.id)
    assert (ready.status, ready.attempts, len(ready.errors)) == (READY, 1, 1)
    assert ready.started_at == ready.last_attempted_at
    assert ready.task.run_after is None
    assert ready.finished_at is None


def test_a_later_attempt_leaves_the_first_ones_start(backend, client, work):
    result = tasks.wait_longer.enqueue()
    work()
    first = backend.get_result(result.id)

    come_due(client.handle_from_string(result.id))
    work()

    second = backend.get_result(result.id)
    assert second.started_at == first.started_at < second.last_attempted_at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "x",
        "default",
        "sqlite",
        "nowhere-1",
        "default-1",
        f"sqlite-{10**30}",
        "sqlite-" + "9" * 5000,
        "sqlite--1",
        None,
    ],
)
def test_what_is_no_results_id_does_not_exist(backend, text):
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(text)


def test_a_job_that_is_no_task_has_no_task_result(backend, client):
    handle = client.dispatch_async("Note", "a job")

    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(str(handle))


def test_a_result_is_kept_for_a_week_or_as_the_options_say(backend, work):
    week = tasks.add.enqueue(1)
    none = tasks.forget.enqueue()

    work()

    row = ExitStatus.objects.get(pk=week.id.rpartition("-")[2])
    assert row.delete_after - row.completion_time == timedelta(days=7)
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(none.id)


def test_a_result_ends_with_its_time_not_with_the_purge(backend, work):
    result = tasks.add.enqueue(1)
    work()

    ExitStatus.objects.update(delete_after=1)

    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(result.id)


def test_a_result_survives_the_loss_of_its_text(backend, work):
    """As an outcome that had to be recorded without anything a database could refuse."""
    result = tasks.add.enqueue(1)
    work()

    ExitStatus.objects.update(arg=None, worker_id=None, started_at=None, completed_at=None)

    kept = backend.get_result(result.id)
    assert (kept.status, kept.args, kept.kwargs) == (SUCCESSFUL, [], {})
    assert kept.finished_at is not None


def test_a_result_and_its_task_can_be_pickled(backend):
    result = tasks.greet.using(priority=3, coalesce="c").enqueue("ann")

    assert pickle.loads(pickle.dumps(result)) == result
    assert pickle.loads(pickle.dumps(tasks.greet)) == tasks.greet


def test_a_pickle_of_what_is_no_task_is_refused():
    with pytest.raises(ValueError, match=r"'os\.system' is no task here"):
        restored("os.system", {})


@pytest.mark.parametrize("get", ["get_result", "aget_result"])
def test_a_result_is_asked_for_with_or_without_await(backend, get):
    from asgiref.sync import async_to_sync

    result = tasks.add.enqueue(1)
    ask = getattr(tasks.add, get)

    found = async_to_sync(ask)(result.id) if get.startswith("a") else ask(result.id)

    assert as_dict(found) == as_dict(result)


def test_a_task_enqueued_from_async_code_is_the_same(backend):
    from asgiref.sync import async_to_sync

    result = async_to_sync(tasks.add.aenqueue)(1, other=2)
    async_to_sync(result.arefresh)()

    assert as_dict(backend.get_result(result.id)) == as_dict(result)
    assert Job.objects.count() == 1
