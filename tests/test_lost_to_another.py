"""A dispatch outside transactions that loses to another session is made again, where it can be."""

import pytest
from django.db import OperationalError, connections, transaction

from django_schwartz.models import FuncMap, Job

pytestmark = pytest.mark.only_on("postgresql", "mysql")

IMPATIENT = {
    "postgresql": "SET lock_timeout = '20ms'",
    "mysql": "SET innodb_lock_wait_timeout = 0",
}
LOSE_A_DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock'",
}


def execute(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def other(database, client, add_database):
    """A session whose open transaction has queued the uniqkey a."""
    FuncMap.objects.get_or_make("Note", using=database)
    alias = add_database("other")
    connections[alias].set_autocommit(False)
    client.dispatch_async("Note", uniqkey="a", using=alias)
    yield connections[alias]
    connections[alias].rollback()


@pytest.fixture
def failing(database, other):
    """Have no patience with locks; `failing(call)` is called after each statement that failed."""
    failed = []

    def failing(call):
        def wrapper(execute, *arguments):
            try:
                return execute(*arguments)
            except OperationalError as error:
                failed.append(error)
                call()
                raise

        connections[database].execute_wrappers.append(wrapper)
        return failed

    execute(database, IMPATIENT[database])
    yield failing
    connections[database].execute_wrappers.clear()
    connections[database].close()


def jobs(number):
    return [Job(funcname="Note", uniqkey=key) for key in "abcdefghijkl"[:number]]


@pytest.mark.parametrize("number", [1, 2, 12])
def test_a_lock_wait_that_timed_out_is_made_again(client, other, failing, number):
    failed = failing(other.commit)

    handles = client.dispatch_jobs(jobs(number))

    assert len(failed) == 1
    assert [handle.is_duplicate for handle in handles] == [True, *[False] * (number - 1)]


@pytest.mark.parametrize("number", [1, 2])
def test_a_lock_is_waited_for_twice_and_no_longer(client, failing, number):
    failed = failing(lambda: None)

    with pytest.raises(OperationalError):
        client.dispatch_jobs(jobs(number))

    assert len(failed) == 2
    assert not Job.objects.exists()


def test_in_a_transaction_a_lock_is_waited_for_once(client, database, failing):
    failed = failing(lambda: None)

    with pytest.raises(OperationalError), transaction.atomic(using=database):
        client.dispatch_jobs(jobs(1))

    assert len(failed) == 1


def test_a_deadlock_after_jobs_that_cannot_be_had_again_is_raised(client, database):
    def lose(number):
        if number == 2000:
            execute(database, LOSE_A_DEADLOCK[database])

    with pytest.raises(OperationalError, match="eadlock"):
        client.dispatch_jobs((Job(funcname="Note") for _ in range(3000)), on_progress=lose)

    assert not Job.objects.exists()
