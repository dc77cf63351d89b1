"""A dispatch's statement is prepared, where no pooler may give it to another session."""

import pytest
from django.db import connections, transaction

from django_schwartz.models import Job

pytestmark = pytest.mark.only_on("postgresql")


def prepared(alias):
    """The statements that the session has prepared."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_from_the_second_dispatch_of_a_connection_on_its_statement_is_prepared(client, database):
    connections[database].close()

    client.dispatch_async("Add", 1)
    first = prepared(database)
    for number in range(3):
        client.dispatch_async("Add", number)

    assert first == []
    [statement] = prepared(database)
    assert statement.startswith('INSERT INTO "django_schwartz_job"')


def test_nothing_else_is_prepared_for_it(client, database):
    for number in range(3):
        client.dispatch_async("Add", number)
        Job.objects.count()

    assert connections[database].connection.prepare_threshold is None
    assert len(prepared(database)) == 1


@pytest.mark.parametrize("end", ["ROLLBACK", "DISCARD ALL", "DEALLOCATE ALL", "SET work_mem = 64"])
def test_what_ends_prepared_statements_ends_no_dispatch(client, database, end):
    for number in range(3):
        client.dispatch_async("Add", number)

    with connections[database].cursor() as cursor:
        cursor.execute(end)
    after = client.dispatch_async("Add", "after")

    assert after.job.arg == "after"
    with transaction.atomic(using=database):
        client.dispatch_async("Add", "in a transaction")
    assert Job.objects.count() == 5


def test_a_dispatch_within_the_statement_of_another_leaves_that_its_rows(client, database):
    inner = []

    def dispatch_too(execute, *args):
        result = execute(*args)
        if not inner:
            inner.append(None)
            inner[0] = client.dispatch_async("Add", "inner")
        return result

    for number in range(3):
        client.dispatch_async("Add", number)
    with connections[database].execute_wrapper(dispatch_too):
        outer = client.dispatch_async("Add", "outer")

    assert outer.job.arg == "outer"
    assert inner[0].job.arg == "inner"


def test_a_new_connection_learns_and_prepares_anew(client, database):
    for number in range(3):
        client.dispatch_async("Add", number)

    connections[database].close()
    client.dispatch_async("Add", "first")
    first = prepared(database)
    after = client.dispatch_async("Add", "second")

    assert first == []
    assert len(prepared(database)) == 1
    assert after.job.arg == "second"


def test_a_dispatch_that_is_rolled_back_leaves_the_next_as_it_is(client, database):
    for number in range(3):
        with transaction.atomic(using=database):
            client.dispatch_async("Add", "never")
            transaction.set_rollback(True, using=database)
        client.dispatch_async("Add", number)

    assert sorted(Job.objects.values_list("arg", flat=True)) == [b"0", b"1", b"2"]


def test_a_column_that_comes_meanwhile_spoils_no_dispatch(client, database):
    for number in range(3):
        client.dispatch_async("Add", number)

    with connections[database].cursor() as cursor:
        cursor.execute("ALTER TABLE django_schwartz_job ADD COLUMN extra int")
    try:
        after = client.dispatch_async("Add", "after")
    finally:
        with connections[database].cursor() as cursor:
            cursor.execute("ALTER TABLE django_schwartz_job DROP COLUMN extra")

    assert after.is_pending
    assert client.dispatch_async("Add", "later").is_pending
