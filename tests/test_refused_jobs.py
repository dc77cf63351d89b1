"""A job that cannot be stored is told to its sender, and is no fault of the database."""

import math
from enum import Enum

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction

from django_schwartz.client import TheSchwartz
from django_schwartz.databases import Databases
from django_schwartz.models import Job


def nested(levels):
    """A list in a list, so many in all."""
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"funcname": "Add", "uniqkey": "k" * 300}, ValueError),
        ({"funcname": "Add", "coalesce": "nul\0"}, ValueError),
        ({"funcname": "Add", "arg": {1, 2}}, TypeError),
        ({"funcname": "Add", "arg": "half \ud800 a pair", "uniqkey": "half \ud800"}, ValueError),
        ({"funcname": "Add", "meta": {1, 2}}, TypeError),
        ({"funcname": "Add", "meta": math.nan}, TypeError),
        ({"funcname": "Add", "meta": {"nul\0": 1}}, ValueError),
        ({"funcname": "Add", "meta": ["half \ud800 a pair"]}, ValueError),
        ({"funcname": "Add", "meta": nested(32)}, ValueError),
        ({"funcname": "Add", "meta": "x" * 1_048_576}, ValueError),
        ({"funcname": "Add", "meta": "\U0001f600" * 262_144}, ValueError),
        ({"funcname": "Add", "jobid": "x"}, TypeError),
        ({"funcname": "Add", "jobid": -2}, ValueError),
        ({"funcname": "Add", "jobid": 2**63 - 1}, ValueError),
        ({"funcname": "Add", "run_after": "tomorrow"}, ValueError),
        ({"funcname": "Add", "run_after": ""}, ValueError),
        ({"funcname": "Add", "run_after": False}, TypeError),
        ({"funcname": "Add", "run_after": []}, TypeError),
        ({"funcname": "Add", "run_after": math.inf}, ValueError),
        ({"funcname": "Add", "run_after": math.nan}, ValueError),
        ({"funcname": "Add", "run_after": {1}}, TypeError),
        ({"funcid": 99_999}, ValueError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{value}"[:60],
)
def test_a_job_that_cannot_be_stored_kills_no_database(client, fields, error):
    with pytest.raises(error):
        client.dispatch_async(Job(**fields))

    assert client.databases.causes == {}
    assert client.dispatch_async("Add").is_pending


@pytest.mark.parametrize(
    "meta",
    [nested(31), {"\\u0000": "a backslash, and u0000"}, "ü", 10**400, 0, ""],
    ids=["deep", "backslash", "text", "long", "0", "empty"],
)
def test_meta_is_any_json_that_every_database_takes(client, meta):
    handle = client.dispatch_async(Job(funcname="Add", meta=meta))

    assert client.lookup_job(handle).meta == meta


class Name(str, Enum):  # noqa: UP042 # as many projects have them
    ADD = "Add"
    KEY = "key"


def test_a_member_of_an_enum_of_texts_is_its_text(client):
    handle = client.dispatch_async(Job(funcname="Add", uniqkey="key", coalesce="key"))
    twin = client.dispatch_async(Job(funcname=Name.ADD, uniqkey=Name.KEY, coalesce=Name.KEY))

    assert twin == handle
    assert twin.is_duplicate


def test_a_database_that_is_not_there_is_refused(client):
    with pytest.raises(ValueError, match="has no 'nowhere'; it has"):
        client.dispatch_async("Add", using="nowhere")


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
