"""A job is replaced by others, in one transaction. After t/replace-with.t."""

import pytest
from django.db import transaction

from django_schwartz import Worker, register
from django_schwartz.models import ExitStatus, FuncMap, Job
from tests.rows import rows, statements


@pytest.fixture
def performed():
    """The args of the parts that were performed."""
    return []


@pytest.fixture(autouse=True)
def _workers(performed):
    @register
    class All(Worker):
        """Be replaced by a Part for each element of the arg."""

        keep_exit_status_for = 600

        def work(self, job):
            job.replace_with(*[Job(funcname="Part", arg=part) for part in job.arg])

    @register
    class Part(Worker):
        def work(self, job):
            performed.append(job.arg)
            job.completed()


def test_the_replacements_are_performed_in_its_place(client, dialect, performed):
    handle = client.dispatch_async("All", ["a", "b", "c", "d", "e"])
    client.can_do("All")
    client.can_do("Part")

    client.work_until_done()

    assert sorted(performed) == ["a", "b", "c", "d", "e"]
    assert not handle.is_pending
    assert not Job.objects.exists()


def test_the_replaced_job_has_exit_status_0(client):
    handle = client.dispatch_async("All", ["a"])
    client.can_do("All")

    client.work_once()

    assert handle.exit_status == 0
    assert handle.failures == 0


def test_what_is_no_job_fails_the_job_and_says_why(client):
    @register
    class Wrong(Worker):
        def work(self, job):
            job.replace_with("Part")

    handle = client.dispatch_async("Wrong")
    client.can_do("Wrong")

    client.work_once()

    assert "replace_with takes Jobs, not str." in handle.failure_log[0]
    assert not Job.objects.exclude(pk=handle.jobid).exists()


def test_a_job_replaced_by_nothing_is_done(client, dialect):
    handle = client.dispatch_async("All", [])
    client.can_do("All")

    client.work_once()

    assert not handle.is_pending
    assert handle.exit_status == 0
    assert not Job.objects.exists()


def test_the_replacements_have_handles_in_the_database_of_the_replaced_job(client, database):
    client.dispatch_async("All")
    job = client.find_job_for_workers(["All"])
    children = [Job(funcname="Part", arg=1), Job(funcname="Part", arg=2)]

    job.replace_with(*children)

    assert [child.handle.alias for child in children] == [database, database]
    assert [child.handle.job.arg for child in children] == [1, 2]


def test_the_replacements_keep_what_they_were_given(client):
    client.dispatch_async("All")
    job = client.find_job_for_workers(["All"])

    job.replace_with(
        Job(
            funcname="Part", uniqkey="u", coalesce="c", priority=7, run_after=4_000_000_000, arg=[1]
        )
    )

    child = Job.objects.get()
    assert (child.uniqkey, child.coalesce, child.priority, child.arg) == ("u", "c", 7, [1])
    assert child.run_after.timestamp() == 4_000_000_000


def test_it_is_one_transaction(client, database):
    client.dispatch_async("All")
    job = client.find_job_for_workers(["All"])
    FuncMap.objects.get_or_make("Part", using=database)

    with statements(database) as sent:
        job.replace_with(Job(funcname="Part"), Job(funcname="Part"))

    assert sent == ["BEGIN", "DELETE", "INSERT", "INSERT", "COMMIT"]


def test_a_job_may_be_replaced_only_once(client):
    client.dispatch_async("All")
    job = client.find_job_for_workers(["All"])
    job.replace_with(Job(funcname="Part"))
    before = rows()

    again = job.replace_with(Job(funcname="Part"))

    assert again is False
    assert rows() == before


def test_a_replacement_that_is_rolled_back_leaves_the_job_as_it_was(client, database):
    client.dispatch_async("All")
    job = client.find_job_for_workers(["All"])
    before = rows()

    with transaction.atomic(using=database):
        job.replace_with(Job(funcname="Part"))
        transaction.set_rollback(True, using=database)

    assert rows() == before
    assert job.did_something is False


def test_a_function_that_was_new_with_a_replacement_rolled_back_is_made_again(client, database):
    client.dispatch_async("All")
    job = client.find_job_for_workers(["All"])
    with transaction.atomic(using=database):
        job.replace_with(Job(funcname="Brand new"))
        transaction.set_rollback(True, using=database)

    job.replace_with(Job(funcname="Brand new"))

    assert FuncMap.objects.get(funcname="Brand new").funcid == Job.objects.get().funcid


def test_several_hundred_replacements_are_inserted_in_order(client):
    client.dispatch_async("All")
    job = client.find_job_for_workers(["All"])

    job.replace_with(*[Job(funcname="Part", arg=number) for number in range(1001)])

    assert [child.arg for child in Job.objects.order_by("jobid")] == list(range(1001))
    assert ExitStatus.objects.get().status == 0
