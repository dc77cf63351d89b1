"""The numbers about the queue: right, and bounded however large the tables are."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.models import FuncMap, Job
from django_schwartz.stats import nobody_can_do


@pytest.fixture
def queue(database):
    """Put so many jobs of a function into the queue."""

    def fill(funcname, number, **columns):
        func = FuncMap.objects.get_or_make(funcname, using=database)
        Job.objects.bulk_create(
            [Job(func=func, **{"run_after": 1, **columns}) for _ in range(number)]
        )

    return fill


def test_jobs_that_no_worker_here_can_do_are_counted_by_function(database, queue):
    queue("Unheard", 3)
    queue("Unseen", 1)

    assert nobody_can_do(database) == {"Unheard": 3, "Unseen": 1}


def test_jobs_of_registered_workers_are_not_counted(database, queue):
    @register
    class Heard(Worker):
        pass

    queue("Heard", 3)

    assert nobody_can_do(database) == {}


def test_a_worker_registered_later_can_do_its_jobs(database, queue):
    queue("Late", 3)
    before = nobody_can_do(database)

    register(type("Late", (Worker,), {}))

    assert before == {"Late": 3}
    assert nobody_can_do(database) == {}


def test_a_function_without_jobs_is_not_told_of(database, queue):
    queue("Unheard", 0)

    assert FuncMap.objects.filter(funcname="Unheard").exists()
    assert nobody_can_do(database) == {}


@pytest.mark.parametrize(
    "columns", [{"run_after": 4_000_000_000}, {"grabbed_until": 4_000_000_000}], ids=str
)
def test_jobs_that_wait_and_jobs_that_are_held_are_queued_too(database, queue, columns):
    queue("Unheard", 2, **columns)

    assert nobody_can_do(database) == {"Unheard": 2}


@pytest.mark.parametrize(("queued", "counted"), [(999, 999), (1000, 1000), (1001, 1000)])
def test_a_thousand_is_a_thousand_or_more(database, queue, queued, counted):
    queue("Unheard", queued)

    assert nobody_can_do(database) == {"Unheard": counted}


def test_each_database_is_counted_by_itself(two_databases):
    for alias, number in zip(two_databases, (1, 2), strict=True):
        func = FuncMap.objects.using(alias).create(funcname="Unheard")
        Job.objects.using(alias).bulk_create(
            [Job(func_id=func.pk, run_after=1) for _ in range(number)]
        )

    assert [nobody_can_do(alias) for alias in two_databases] == [{"Unheard": 1}, {"Unheard": 2}]
