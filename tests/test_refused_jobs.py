"""A job that cannot be stored is told to its sender, and is no fault of the database."""

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction

from django_schwartz.client import TheSchwartz
from django_schwartz.databases import Databases
from django_schwartz.models import Job


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (Job(funcname="Add", uniqkey="k" * 300), ValueError),
        (Job(funcname="Add", coalesce="nul\0"), ValueError),
        (Job(funcname="Add", arg={1, 2}), TypeError),
        (Job(funcname="Add", arg="half \ud800 a pair", uniqkey="half \ud800"), ValueError),
    ],
    ids=["long", "NUL", "set", "surrogate"],
)
def test_a_job_that_cannot_be_stored_kills_no_database(client, job, error):
    with pytest.raises(error):
        client.dispatch_async(job)

    assert client.databases.causes == {}
    assert client.dispatch_async("Add").is_pending


def test_a_row_that_the_database_refuses_kills_it_not(client):
    taken = client.dispatch_async("Add")

    with pytest.raises(IntegrityError):
        client.dispatch_async(Job(funcname="Add", jobid=taken.jobid))

    assert client.databases.causes == {}
    assert client.dispatch_async("Add").is_pending


def test_a_row_that_one_database_refuses_is_not_offered_to_the_next(two_databases):
    client = TheSchwartz()
    client.databases = Databases(two_databases, retry_seconds=30, shuffle=lambda aliases: None)
    first = client.dispatch_async("Add")

    with pytest.raises(IntegrityError):
        client.dispatch_async(Job(funcname="Add", jobid=first.jobid))

    assert Job.objects.using(first.alias).count() == 1
    assert client.dispatch_async("Add").alias == first.alias


@pytest.fixture
def locked_queue(database, add_database):
    """The table of jobs is locked by another connection, and ours does not wait for long."""
    other = add_database("other")
    lock, impatience = {
        "sqlite": ("PRAGMA user_version", "PRAGMA busy_timeout = 20"),
        "postgresql": (
            "LOCK TABLE django_schwartz_job IN ACCESS EXCLUSIVE MODE",
            "SET lock_timeout = 20",
        ),
        "mysql": ("LOCK TABLE django_schwartz_job WRITE", "SET lock_wait_timeout = 0"),
    }[database]
    execute(database, impatience)
    with transaction.atomic(using=other):  # a write lock already, in SQLite
        execute(other, lock)
        yield
    connections[database].close()


def execute(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def test_a_lock_that_is_not_had_in_time_kills_no_database(client, locked_queue):
    with pytest.raises(OperationalError):
        client.dispatch_async("Note")

    assert client.databases.causes == {}
