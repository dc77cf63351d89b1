"""A job is put into the queue with an arg, and performed with that arg. After t/insert-and-do.t."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.models import Job


@pytest.fixture(autouse=True)
def _workers():
    register(Add)
    register(Divide)


@pytest.fixture
def merged():
    """What the jobs of Add brought along, together."""
    Add.merged = {}
    return Add.merged


class Add(Worker):
    def work(self, job):
        self.merged.update(job.arg)
        job.completed()


class Divide(Worker):
    def work(self, job):
        job.arg["n"] / 0


def test_a_worker_class_grabs_a_job_of_its_own_with_the_arg_that_was_given(client, dialect):
    client.dispatch_async("Add", {"numbers": [1, 2]})

    job = Add.grab_job(client)

    assert job.arg == {"numbers": [1, 2]}


def test_jobs_of_other_functions_are_not_grabbed(client, dialect):
    client.dispatch_async("Divide", {"n": 1})

    assert Add.grab_job(client) is None


def test_a_grabbed_job_is_not_grabbed_again(client, dialect):
    client.dispatch_async("Add")
    Add.grab_job(client)

    assert Add.grab_job(client) is None


@pytest.mark.parametrize(
    "arg",
    [
        "short_arg",
        "longer than eleven bytes",
        "\x05",
        "\x05\x0b\x05",
        "",
        "0",
        "\0",
        "Grüße 🐫",
        '{"not": "a dict"}',
        b"\x00\xff",
        b"",
        0,
        -1.5,
        2**70,
        True,
        False,
        None,
        [],
        {},
        ["nested", {"deeply": [None, 1.5]}],
    ],
)
def test_every_arg_comes_back_as_it_was_given(client, arg):
    client.dispatch_async("Add", arg)

    given = Add.grab_job(client).arg

    assert given == arg
    assert type(given) is type(arg)


@pytest.mark.parametrize("arg", [object(), {1, 2}, {"a": object()}, float("nan"), 1j])
def test_an_arg_that_json_cannot_hold_is_refused_and_nothing_is_queued(client, arg):
    with pytest.raises(TypeError, match="JSON"):
        client.dispatch_async("Add", arg)

    assert not Job.objects.exists()


def test_three_jobs_are_all_performed(client, dialect, merged):
    client.dispatch_async("Add", {"one": 1})
    client.dispatch_async(Job(funcname="Add", arg={"two": 2}))
    client.dispatch_async(Job.new_from_array("Add", {"three": 3}))
    client.can_do(Add)

    client.work_until_done()

    assert merged == {"one": 1, "two": 2, "three": 3}
    assert not Job.objects.exists()


def test_work_once_performs_one_job_and_tells_whether_there_was_one(client, dialect, merged):
    client.dispatch_async("Add", {"one": 1})
    client.can_do(Add)

    assert client.work_once() is True
    assert client.work_once() is False


def test_an_exception_is_a_failure_of_the_job_and_the_worker_goes_on(client, merged):
    broken = client.dispatch_async("Divide", {"n": 1})
    client.dispatch_async("Add", {"one": 1})
    client.can_do(Divide)
    client.can_do(Add)

    client.work_until_done()

    assert broken.failures == 1
    assert broken.failure_log == ["ZeroDivisionError: division by zero"]
    assert merged == {"one": 1}


def test_a_client_without_abilities_finds_nothing(client):
    client.dispatch_async("Add")

    assert client.work_once() is False


def test_a_worker_that_waits_looks_again_after_its_delay(client, merged):
    client.can_do(Add)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            raise InterruptedError
        client.dispatch_async("Add", {"late": True})

    with pytest.raises(InterruptedError):
        client.work(7, sleep=sleep)

    assert slept == [7, 7]
    assert merged == {"late": True}
