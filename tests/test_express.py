"""A plain job takes the express way into PostgreSQL, and comes there as by the usual one."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.db import ProgrammingError, connections, transaction
from django.db.models.signals import post_init

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import DIALECTS, dialect_of
from django_schwartz.models import Job
from django_schwartz.signals import job_dispatched
from django_schwartz.worker import registry
from tests.waiting import until

pytestmark = pytest.mark.only_on("postgresql")

#: What two jobs do not have alike.
OF_ITS_OWN = {"jobid", "insert_time", "run_after", "dispatched_at"}


class Frozen(Worker):
    arg_format = "storable"


class Bytes(Worker):
    arg_format = "raw"


@pytest.fixture(autouse=True)
def _known(client):
    """The functions have their rows, and the connection is open."""
    with registry.as_it_was():
        for worker in (Frozen, Bytes):
            register(worker)
        for funcname in ("Add", "Frozen", "Bytes"):
            client.dispatch_async(funcname, b"1")
        Job.objects.all().delete()
        yield


@pytest.fixture
def express():
    """The calls of the express way's statement."""
    dialect = DIALECTS["postgresql"]
    with patch.object(dialect, "insert_plain", wraps=dialect.insert_plain) as insert:
        yield insert


def values_of(handle):
    return Job.objects.values().get(pk=handle.jobid)


@pytest.mark.parametrize(
    ("funcname", "arg"),
    [
        ("Add", None),
        ("Add", 5),
        ("Add", "tea \N{SNOWMAN}"),
        ("Add", {"a": [1, None, "x"]}),
        ("Add", b"\x00\xff"),
        ("Add", b""),
        ("Frozen", {"a": 1}),
        ("Bytes", b'{"a"'),
    ],
)
def test_the_row_is_as_the_usual_way_makes_it(client, express, funcname, arg):
    plain = client.dispatch_async(funcname, arg)
    usual = client.dispatch_async(Job(funcname=funcname, arg=arg))

    assert express.call_count == 1
    row, other = values_of(plain), values_of(usual)
    assert {k: v for k, v in row.items() if k not in OF_ITS_OWN} == {
        k: v for k, v in other.items() if k not in OF_ITS_OWN
    }
    assert plain == plain.job.handle
    for name in OF_ITS_OWN - {"jobid"}:
        assert timedelta() <= other[name] - row[name] < timedelta(seconds=10)


@pytest.mark.parametrize("arg", [object(), float("nan"), {1, 2}, "x" * 2_000_000])
def test_what_cannot_be_stored_raises_as_by_the_usual_way(client, express, arg):
    errors = []
    for job in ("Add", arg), (Job(funcname="Add", arg=arg),):
        with pytest.raises((TypeError, ValueError)) as caught:
            client.dispatch_async(*job)
        errors.append((caught.type, str(caught.value)))

    assert errors[0] == errors[1]
    assert not Job.objects.exists()


def test_in_a_transaction_it_is_the_usual_way(client, express, database):
    with transaction.atomic(using=database):
        client.dispatch_async("Add", 1)
        transaction.set_rollback(True, using=database)

    connections[database].set_autocommit(False)
    client.dispatch_async("Add", 2)
    connections[database].rollback()
    connections[database].set_autocommit(True)

    assert not express.called
    assert not Job.objects.exists()


@pytest.mark.parametrize("signal", [job_dispatched, post_init])
def test_for_who_is_told_of_jobs_it_is_the_usual_way(client, express, signal):
    told = []

    def tell(sender, **known):
        told.append(known.get("job") or known["instance"])

    signal.connect(tell, sender=Job)
    try:
        client.dispatch_async("Add", 1)
    finally:
        signal.disconnect(tell, sender=Job)

    assert told[0].arg == 1
    assert not express.called


@pytest.mark.parametrize(
    "more", [{"priority": 3}, {"uniqkey": "k"}, {"using": "postgresql"}, {"on_commit": True}]
)
def test_with_anything_more_it_is_the_usual_way(client, express, more):
    client.dispatch_async("Add", 1, **more)

    assert not express.called
    assert Job.objects.count() == 1


def test_by_several_databases_and_for_a_new_function_it_is_the_usual_way(express, database):
    TheSchwartz([database, "sqlite"]).databases.mark_dead("sqlite", OSError())
    several = TheSchwartz([database, "sqlite"]).dispatch_async("Add", 1)
    TheSchwartz([database, "sqlite"]).databases.mark_alive("sqlite")
    new = TheSchwartz().dispatch_async("A function that nobody knows", 1)

    assert (several.alias, new.alias) == (database, database)
    assert not express.called


def test_while_the_database_was_dead_it_is_the_usual_way_which_says_that_it_lives(client, express):
    [alias] = client.databases.aliases
    client.databases.mark_dead(alias, OSError())

    client.dispatch_async("Add", 1)
    client.dispatch_async("Add", 2)

    assert express.call_count == 1
    assert client.databases.lives(alias)


def test_a_connection_that_was_cut_is_replaced(client, express, database):
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    other = connections[database].copy()
    try:
        other.cursor().execute("SELECT pg_terminate_backend(%s)", [pid])
        until(lambda: not _lives(other, pid))
    finally:
        other.close()

    handle = client.dispatch_async("Add", 1)

    assert express.call_count == 1
    assert [job.handle for job in Job.objects.all()] == [handle]


def _lives(connection, pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchone()[0]


def test_after_a_wait_for_a_lock_in_vain_it_is_made_once_more(client, express, database):
    other = connections[database].copy()
    other.set_autocommit(False)
    other.cursor().execute(f"LOCK TABLE {Job.objects.all().table}")

    def let_go(execute, *args):
        try:
            return execute(*args)
        finally:
            other.rollback()

    with connections[database].cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    try:
        with connections[database].execute_wrapper(let_go):
            handle = client.dispatch_async("Add", 1)
    finally:
        other.close()
        connections[database].close()

    assert express.call_count == 1
    assert [job.handle for job in Job.objects.all()] == [handle]


def test_an_error_that_is_the_jobs_own_raises(client, express, database):
    table = Job.objects.all().table
    with connections[database].cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER refusing BEFORE INSERT ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    try:
        with (
            patch.object(dialect_of(connections[database]), "insert") as usual,
            pytest.raises(ProgrammingError, match="not this one"),
        ):
            client.dispatch_async("Add", 1)
    finally:
        with connections[database].cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")

    assert not usual.called
    assert not Job.objects.exists()
