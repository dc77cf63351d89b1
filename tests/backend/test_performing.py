"""Whatever a task returns or raises, its result says so after one run, and the worker goes on."""

import pytest
from django.db import transaction

from django_schwartz.backend.compat import TaskResultDoesNotExist, TaskResultStatus
from django_schwartz.models import Error, ExitStatus, Job
from django_schwartz.worker import registry
from tests.app import tasks
from tests.app.models import Trace
from tests.rows import GRAB, end_lease, lease_elsewhere, statements

FAILED, SUCCESSFUL = TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL


@pytest.mark.parametrize("what", ["NUL", "NaN", "surrogate", "function"])
def test_a_value_that_cannot_be_stored_fails_the_task_for_good(backend, work, what):
    result, other = tasks.give.enqueue(what), tasks.add.enqueue(1)

    work()

    failed = backend.get_result(result.id)
    assert (failed.status, failed.attempts, len(failed.errors)) == (FAILED, 1, 1)
    assert failed.errors[0].exception_class in (TypeError, ValueError)
    assert backend.get_result(other.id).status == SUCCESSFUL


def test_text_that_only_looks_like_nul_is_a_value(backend, work):
    result = tasks.give.enqueue("backslash")

    work()

    assert backend.get_result(result.id).return_value == "\\u0000"


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "BaseException"])
@pytest.mark.parametrize("message", ["plain", "NUL \\x00", "half a pair \\udc80"])
def test_whatever_it_raises_fails_the_task(backend, work, kind, message):
    tasks.fail.enqueue(kind, message)
    other = tasks.add.enqueue(1)

    work()

    assert Error.objects.get().message.startswith(f"{kind}: ")
    assert backend.get_result(other.id).status == SUCCESSFUL


def test_args_that_the_function_does_not_take_fail_the_task(backend, work):
    result = tasks.add.enqueue()

    work()

    assert backend.get_result(result.id).errors[0].exception_class is TypeError


@pytest.mark.parametrize("arg", [None, 7, [1, 2], {"args": [1]}, b'{"args": 1, "kwargs": {}}'])
def test_an_arg_that_is_no_call_fails_the_task_for_good(client, backend, work, arg):
    handle = client.dispatch_async("tests.app.tasks.fail_twice_again", arg)

    work()

    failed = backend.get_result(str(handle))
    assert (failed.status, failed.attempts, failed.args) == (FAILED, 1, [])
    assert "A task takes" in failed.errors[0].traceback


def test_another_client_enqueues_by_name(client, backend, work):
    handle = client.dispatch_async("tests.app.tasks.add", {"args": [1], "kwargs": {"other": 2}})

    work()

    assert backend.get_result(str(handle)).return_value == 3


def test_a_task_whose_lease_is_lost_has_no_result_of_it(client, backend):
    result = tasks.add.enqueue(1)
    client.can_do_all()
    job = client.find_job_for_workers()
    lease_elsewhere(client.handle_from_string(result.id))

    client.work_once(job)

    assert not ExitStatus.objects.exists()
    assert backend.get_result(result.id).status == TaskResultStatus.RUNNING


def test_an_atomic_task_and_its_outcome_are_one_transaction(backend, work):
    done, failed = tasks.trace.enqueue("done"), tasks.trace.enqueue("failed", fail=True)

    work()

    assert backend.get_result(done.id).return_value == "done"
    assert backend.get_result(failed.id).status == FAILED
    assert [trace.what for trace in Trace.objects.all()] == ["done"]


def test_what_an_atomic_task_wrote_is_undone_when_its_lease_is_lost(client):
    result = tasks.trace.enqueue("a zombie's")
    client.can_do_all()
    job = client.find_job_for_workers()
    lease_elsewhere(client.handle_from_string(result.id))

    client.work_once(job)

    assert not Trace.objects.exists()


def test_a_task_is_grabbed_and_settled_in_few_statements(client, database):
    for number in range(2):
        tasks.add.enqueue(number)
    client.can_do("tests.app.tasks.add")
    client.work_once()

    with statements(database) as words:
        client.work_once()

    assert [word for word in words if word not in ("BEGIN", "COMMIT")] == [
        *GRAB[database],
        "DELETE",
        "INSERT",
    ]


def test_a_worker_works_inside_a_transaction(database, work, backend):
    with transaction.atomic(using=database):
        done, failed = tasks.add.enqueue(1), tasks.fail.enqueue()
        work()
        states = [backend.get_result(result.id).status for result in (done, failed)]
        transaction.set_rollback(True, using=database)

    assert states == [SUCCESSFUL, FAILED]
    assert not ExitStatus.objects.exists()


def test_a_killed_worker_leaves_no_task_running(manage, backend, client):
    result = tasks.crash.enqueue()
    process = manage("runschwartz", "--processes", 0, "--worker", "tests.app.tasks.crash")
    assert process.wait(timeout=60) == -9

    end_lease(client.handle_from_string(result.id))

    assert backend.get_result(result.id).status == TaskResultStatus.READY
    assert Job.objects.due().exists()


def test_a_task_that_ends_the_event_loop_ends_no_other(manage, backend):
    left = tasks.break_the_loop.enqueue("sys.exit")
    stopped = tasks.break_the_loop.enqueue("stop")
    others = [tasks.add_later.enqueue(number) for number in range(3)]

    process = manage("runschwartz", "--until-done", "--async-concurrency", 1)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert backend.get_result(left.id).errors[0].exception_class is SystemExit
    assert backend.get_result(stopped.id).return_value == "went on"
    assert [backend.get_result(other.id).return_value for other in others] == [0, 1, 2]


def test_a_task_of_a_backend_that_tasks_names_no_more_is_performed(client, backend, work):
    handle = client.dispatch_async(
        "tests.app.tasks.add", {"args": [1], "kwargs": {}}, meta={"backend": "gone"}
    )

    work()

    result = backend.get_result(str(handle))
    assert (result.status, result.backend, result.return_value) == (SUCCESSFUL, "gone", 1)


def test_the_result_of_a_function_that_is_gone_does_not_exist(backend, work, monkeypatch):
    queued, done = tasks.add.enqueue(1), tasks.greet.enqueue("ann")
    work()
    monkeypatch.setattr(registry, "_workers", {})
    monkeypatch.setattr(registry, "finders", [])

    for result in (queued, done):
        with pytest.raises(TaskResultDoesNotExist):
            backend.get_result(result.id)
