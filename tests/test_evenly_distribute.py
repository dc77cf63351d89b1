"""Jobs are spread over all databases; a uniqkey has one home. After t/evenly-distribute.t."""

import random

import pytest
from django.db import transaction

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.databases import Databases
from django_schwartz.models import Job


class Add(Worker):
    def work(self, job):
        job.completed()


@pytest.fixture(autouse=True)
def _workers():
    register(Add)


def client_of(aliases, shuffle):
    client = TheSchwartz(aliases)
    client.databases = Databases(aliases, retry_seconds=30, shuffle=shuffle)
    client.can_do(Add)
    return client


@pytest.fixture
def client(two_databases):
    """A client of two databases, whose chance is the same in each run."""
    return client_of(two_databases, random.Random(7).shuffle)


@pytest.fixture
def postgresql_first(two_databases):
    """A client that asks PostgreSQL before SQLite, where it has the choice."""
    return client_of(["postgresql", "sqlite"], lambda aliases: None)


def counts():
    """The number of jobs in each of the two databases."""
    return [Job.objects.using(alias).count() for alias in ("sqlite", "postgresql")]


# Spread


def test_each_database_gets_its_share_of_the_jobs(client):
    for _ in range(60):
        client.dispatch_async("Add")

    assert sum(counts()) == 60
    assert min(counts()) > 15


def test_chance_decides_anew_at_each_dispatch(client):
    aliases = [client.dispatch_async("Add").alias for _ in range(60)]

    alternating = ["sqlite", "postgresql"] * 30
    assert aliases not in (alternating, alternating[::-1], sorted(aliases))


def test_work_is_looked_for_in_each_database(client):
    for alias in ("sqlite", "postgresql"):
        client.dispatch_jobs([Job(funcname="Add") for _ in range(30)], using=alias)

    worked = [client.work_once() for _ in range(30)]

    assert worked == [True] * 30
    assert sum(counts()) == 30
    assert max(counts()) < 25


def test_work_is_found_wherever_it_is(client):
    for alias in ("sqlite", "postgresql"):
        client.dispatch_jobs([Job(funcname="Add") for _ in range(5)], using=alias)

    client.work_until_done()

    assert counts() == [0, 0]


def test_many_jobs_dispatched_together_stay_together(client):
    for _ in range(10):
        handles = client.dispatch_jobs([Job(funcname="Add"), Job(funcname="Add")])
        assert handles[0].alias == handles[1].alias

    assert sum(counts()) == 20
    assert min(counts()) > 0


def test_each_database_has_numbers_of_its_own_for_a_function(client):
    client.dispatch_async("OnlyHere", using="sqlite")
    client.dispatch_async("New", using="sqlite")
    client.dispatch_async("New", using="postgresql")

    names = [job.funcname for job in client.list_jobs("New")]

    assert names == ["New", "New"]


# Chosen


@pytest.mark.parametrize("alias", ["sqlite", "postgresql"])
def test_the_sender_may_name_the_database(client, alias):
    handles = [client.dispatch_async("Add", using=alias) for _ in range(10)]

    assert {handle.alias for handle in handles} == {alias}


@pytest.mark.parametrize("alias", ["sqlite", "postgresql"])
def test_inside_a_transaction_the_job_goes_to_its_database(client, alias):
    with transaction.atomic(using=alias):
        handles = [client.dispatch_async("Add") for _ in range(10)]

    assert {handle.alias for handle in handles} == {alias}


def test_inside_a_transaction_a_uniqkey_goes_to_its_database_too(client):
    keys = [str(n) for n in range(10)]

    with transaction.atomic(using="sqlite"):
        handles = [client.dispatch_async(Job(funcname="Add", uniqkey=key)) for key in keys]

    assert {handle.alias for handle in handles} == {"sqlite"}


# Home


def test_a_uniqkey_is_queued_once_in_all_databases(client):
    handles = [client.dispatch_async(Job(funcname="Add", uniqkey="1")) for _ in range(10)]

    assert sum(counts()) == 1
    assert len(set(handles)) == 1
    assert [handle.is_duplicate for handle in handles] == [False] + [True] * 9


def test_a_uniqkey_is_queued_once_in_all_databases_by_dispatches_of_many(client):
    pairs = [
        client.dispatch_jobs([Job(funcname="Add"), Job(funcname="Add", uniqkey="1")])
        for _ in range(5)
    ]

    assert sum(counts()) == 6
    assert len({unique for _, unique in pairs}) == 1


def jobs_of_different_homes():
    """One that is at home nowhere, one in postgresql, one in sqlite."""
    return [Job(funcname="Add", uniqkey=key) for key in (None, "a", "b")]


def test_uniqkeys_with_different_homes_are_not_dispatched_together(client):
    with pytest.raises(ValueError, match="using="):
        client.dispatch_jobs(jobs_of_different_homes())

    assert counts() == [0, 0]


def test_uniqkeys_with_one_home_are_dispatched_together(client):
    handles = client.dispatch_jobs([Job(funcname="Add", uniqkey=key) for key in "bce"])

    assert [handle.alias for handle in handles] == ["sqlite"] * 3


@pytest.mark.parametrize("alias", ["sqlite", "postgresql"])
def test_uniqkeys_with_different_homes_go_where_the_sender_says(client, alias):
    handles = client.dispatch_jobs(jobs_of_different_homes(), using=alias)

    assert {handle.alias for handle in handles} == {alias}


@pytest.mark.parametrize("alias", ["sqlite", "postgresql"])
def test_uniqkeys_with_different_homes_go_where_the_transaction_is(client, alias):
    with transaction.atomic(using=alias):
        handles = client.dispatch_jobs(jobs_of_different_homes())

    assert {handle.alias for handle in handles} == {alias}


def test_every_client_knows_the_home_of_a_uniqkey(client, postgresql_first):
    keys = [str(n) for n in range(20)]
    handles = [client.dispatch_async(Job(funcname="Add", uniqkey=key)) for key in keys]

    again = [postgresql_first.dispatch_async(Job(funcname="Add", uniqkey=key)) for key in keys]

    assert again == handles
    assert all(handle.is_duplicate for handle in again)


def test_the_homes_of_many_uniqkeys_are_spread_evenly(client):
    for n in range(60):
        client.dispatch_async(Job(funcname="Add", uniqkey=str(n)))

    assert min(counts()) > 15


def test_the_home_of_a_uniqkey_depends_on_the_function_too(client):
    names = [f"Function{n}" for n in range(20)]

    handles = [client.dispatch_async(Job(funcname=name, uniqkey="1")) for name in names]

    assert {handle.alias for handle in handles} == {"sqlite", "postgresql"}


def test_the_home_of_a_uniqkey_is_the_same_in_every_release(two_databases):
    databases = TheSchwartz().databases

    homes = [databases.in_home_order("Add", key)[0] for key in "abcdef"]

    assert homes == ["postgresql", "sqlite", "sqlite", "postgresql", "sqlite", "sqlite"]


def test_the_empty_uniqkey_is_a_uniqkey(client):
    handles = [client.dispatch_async(Job(funcname="Add", uniqkey="")) for _ in range(10)]

    assert len(set(handles)) == 1


def test_a_number_as_a_uniqkey_is_its_digits(client):
    handles = [
        client.dispatch_async(Job(funcname="Add", uniqkey=key))
        for n in range(10)
        for key in (n, str(n))
    ]

    assert len(set(handles)) == 10


def test_a_uniqkey_can_be_queued_again_when_its_job_is_done(client):
    first = client.dispatch_async(Job(funcname="Add", uniqkey="1"))
    client.work_until_done()

    second = client.dispatch_async(Job(funcname="Add", uniqkey="1"))

    assert not second.is_duplicate
    assert second.alias == first.alias
    assert second != first
