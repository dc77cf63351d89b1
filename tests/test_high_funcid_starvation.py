"""No function starves another. After t/high-funcid-starvation.t."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.models import Job


@pytest.fixture
def performed():
    """The functions whose jobs were performed, in turn."""
    return []


@pytest.fixture(autouse=True)
def _workers(performed):
    class Done(Worker):
        def work(self, job):
            performed.append(job.funcname)
            job.completed()

    for funcname in ("Low", "Middle", "High"):
        register(type(funcname, (Done,), {}))


def queued(client, funcname):
    return len(client.list_jobs(funcname))


def test_two_functions_share_the_worker_evenly(client, dialect):
    client.dispatch_jobs([Job(funcname="Low") for _ in range(10)])
    client.dispatch_jobs([Job(funcname="High") for _ in range(10)])
    client.can_do("Low")
    client.can_do("High")

    for _ in range(10):
        client.work_once()

    assert queued(client, "Low") == 5
    assert queued(client, "High") == 5


def test_three_functions_are_performed_in_rounds(client, dialect, performed):
    names = ["Low", "Middle", "High"]
    client.dispatch_jobs([Job(funcname=name) for name in names for _ in range(3)])
    for name in names:
        client.can_do(name)

    client.work_until_done()

    rounds = [performed[:3], performed[3:6], performed[6:]]
    assert [sorted(one) for one in rounds] == [["High", "Low", "Middle"]] * 3


def test_a_higher_priority_does_not_starve_another_function(client, dialect, performed):
    client.dispatch_jobs([Job(funcname="High", priority=9) for _ in range(5)])
    client.dispatch_async("Low", priority=1)
    client.can_do("Low")
    client.can_do("High")

    client.work_once()
    client.work_once()

    assert performed == ["High", "Low"]


def test_a_function_that_is_alone_in_the_queue_is_performed_again_at_once(client, performed):
    client.dispatch_jobs([Job(funcname="Low") for _ in range(3)])
    client.can_do("Low")
    client.can_do("High")

    client.work_until_done()

    assert performed == ["Low", "Low", "Low"]


def test_a_function_that_fails_takes_its_turn_like_any_other(client, performed):
    @register
    class Fail(Worker):
        max_retries = 9

        def work(self, job):
            performed.append("Fail")
            job.failed("never mind")

    client.dispatch_async("Fail", priority=9)
    client.dispatch_async("Low")
    client.can_do("Fail")
    client.can_do("Low")

    client.work_once()
    client.work_once()

    assert performed == ["Fail", "Low"]


def test_strictly_removed_abilities_stay_removed(client, performed):
    client.strict_remove_ability = True
    client.dispatch_async("Low")
    client.dispatch_async("High")
    client.can_do("Low")
    client.can_do("High")
    client.temporarily_remove_ability("Low")

    client.work_until_done()

    assert performed == ["High"]
    assert queued(client, "Low") == 1


def test_strictly_removed_abilities_come_back_when_somebody_restores_them(client, performed):
    client.strict_remove_ability = True
    client.dispatch_async("Low")
    client.can_do("Low")
    client.can_do("High")
    client.temporarily_remove_ability("Low")
    client.work_until_done()

    client.restore_full_abilities()
    client.work_until_done()

    assert performed == ["Low"]


def test_strict_clients_serve_one_function_to_its_end(client, performed):
    client.strict_remove_ability = True
    client.dispatch_jobs([Job(funcname="Low") for _ in range(2)])
    client.dispatch_async("High")
    client.can_do("Low")
    client.can_do("High")

    client.work_until_done()

    assert performed == ["Low", "Low", "High"]
