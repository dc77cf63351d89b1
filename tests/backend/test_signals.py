"""The signals of django.tasks: after the row is written, once, and whatever a receiver does."""

import sys

import pytest

from django_schwartz.backend import SchwartzBackend
from django_schwartz.backend.compat import (
    TaskResultStatus,
    task_enqueued,
    task_finished,
    task_started,
)
from django_schwartz.models import ExitStatus, Job
from tests.app import tasks
from tests.rows import lease_elsewhere

NAMES = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}


@pytest.fixture
def told():
    """What the signals tell: name, sender and result."""
    told = []
    receivers = []
    for name, signal in NAMES.items():

        def receive(sender, task_result, name=name, **_):
            told.append((name, sender, task_result))

        signal.connect(receive)
        receivers.append((signal, receive))
    yield told
    for signal, receive in receivers:
        signal.disconnect(receive)


def test_each_step_is_told_once_by_the_backends_class(told, work, backend):
    result = tasks.add.enqueue(1, other=2)
    work()

    assert [(name, sender) for name, sender, _ in told] == [
        ("enqueued", SchwartzBackend),
        ("started", SchwartzBackend),
        ("finished", SchwartzBackend),
    ]
    assert [told_of.status for _, _, told_of in told] == ["READY", "RUNNING", "SUCCESSFUL"]
    assert told[0][2] == result
    assert told[2][2].return_value == 3


@pytest.mark.parametrize(
    "enqueue",
    [lambda: tasks.add.enqueue(1), lambda: tasks.fail.enqueue(), lambda: tasks.give.enqueue("NaN")],
    ids=["successful", "failed", "unfit"],
)
def test_what_is_told_at_the_end_is_what_is_read_after_it(told, work, backend, enqueue):
    result = enqueue()
    work()

    assert told[-1][0] == "finished"
    assert told[-1][2] == backend.get_result(result.id)


def test_what_is_told_of_a_retried_task_has_all_its_attempts(told, work, backend):
    result = tasks.fail_twice_again.enqueue()
    work()

    assert [name for name, _, _ in told] == ["enqueued", *["started"] * 3, "finished"]
    assert [told_of.attempts for _, _, told_of in told] == [0, 1, 2, 3, 3]
    assert told[-1][2] == backend.get_result(result.id)


def test_the_row_is_there_before_it_is_told_of(work):
    seen = []

    def look(sender, task_result, **_):
        seen.append((task_result.status, Job.objects.count(), ExitStatus.objects.count()))

    for signal in NAMES.values():
        signal.connect(look)
    tasks.add.enqueue(1)
    work()
    for signal in NAMES.values():
        signal.disconnect(look)

    assert seen == [("READY", 1, 0), ("RUNNING", 1, 0), ("SUCCESSFUL", 0, 1)]


def test_a_receiver_that_raises_changes_nothing(work, backend):
    def refuse(sender, task_result, **_):
        raise RuntimeError("a receiver's fault")

    for signal in NAMES.values():
        signal.connect(refuse)
    result = tasks.add.enqueue(1)
    work()
    for signal in NAMES.values():
        signal.disconnect(refuse)

    assert backend.get_result(result.id).status == TaskResultStatus.SUCCESSFUL


def test_a_duplicate_is_not_told_of(told, database):
    tasks.greet.enqueue("ann")
    tasks.greet.enqueue("ann")

    assert [name for name, _, _ in told] == ["enqueued"]


def test_a_lost_lease_is_not_told_of(told, client):
    result = tasks.add.enqueue(1)
    client.can_do_all()
    job = client.find_job_for_workers()
    lease_elsewhere(client.handle_from_string(result.id))

    client.work_once(job)

    assert [name for name, _, _ in told] == ["enqueued", "started"]


def test_a_job_that_is_no_task_is_not_told_of(told, client, work):
    client.dispatch_async("Note", "a job")

    work()

    assert told == []


def test_the_exception_can_be_asked_for_as_the_failure_is_told(work):
    seen = []

    def look(sender, task_result, **_):
        seen.append(sys.exc_info()[1])

    task_finished.connect(look)
    tasks.fail.enqueue()
    work()
    task_finished.disconnect(look)

    [error] = seen
    assert isinstance(error, ValueError)
    assert str(error) == "it failed"
    assert sys.exc_info() == (None, None, None)
