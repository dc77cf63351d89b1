"""What differs by database, asked of the database itself."""

from functools import partial

import pytest
from django.core.serializers import deserialize, serialize
from django.db import Error as AnyDatabaseError
from django.db import OperationalError, connections, transaction

from django_schwartz import dialects
from django_schwartz.dialects import dialect_of
from django_schwartz.exceptions import UnseenRow
from django_schwartz.models import Job, outcome
from tests.rows import lease_elsewhere, row_of


def execute(alias, sql, params=None):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)


def error_of(database, sql):
    with pytest.raises(AnyDatabaseError) as raised:
        execute(database, sql)
    return raised.value


# What errors mean


@pytest.mark.parametrize(
    ("sql", "unavailable"),
    [
        ("SELECT * FROM no_such_table", True),
        ("SELEKT", False),
        ("SELECT no_such_column FROM django_schwartz_job", False),
        ("INSERT INTO django_schwartz_job (funcid) VALUES (1)", False),
    ],
)
def test_a_missing_table_is_an_unavailable_queue_and_a_wrong_statement_is_not(
    database, sql, unavailable
):
    error = error_of(database, sql)

    dialect = dialect_of(connections[database])
    assert dialect.is_unavailable(connections[database], error) is unavailable
    assert dialect.is_passing(error) is False


def test_a_lost_connection_is_an_unavailable_queue(two_databases):
    connection = connections["postgresql"]

    error = error_of("postgresql", "SELECT pg_terminate_backend(pg_backend_pid())")

    assert dialect_of(connection).is_unavailable(connection, error) is True
    connection.close()


def test_a_portable_dialect_asks_the_connection_itself(two_databases):
    connection = connections["postgresql"]
    connection.ensure_connection()
    alive = dialects.Dialect().is_unavailable(connection, OperationalError("some trouble"))
    error_of("postgresql", "SELECT pg_terminate_backend(pg_backend_pid())")

    dead = dialects.Dialect().is_unavailable(connection, OperationalError("some trouble"))

    assert (alive, dead) == (False, True)
    connection.close()


def test_a_portable_dialect_takes_no_error_for_one_that_passes():
    assert dialects.Dialect().is_passing(OperationalError("database is locked")) is False


def test_a_lock_that_is_not_had_in_time_is_an_error_that_passes(database, add_database):
    other = add_database("other")
    impatience = {
        "sqlite": "PRAGMA busy_timeout = 20",
        "postgresql": "SET lock_timeout = 20",
        "mysql": "SET innodb_lock_wait_timeout = 0",
    }
    execute(database, impatience[database])

    with transaction.atomic(using=other):
        execute(other, "UPDATE django_schwartz_funcmap SET funcname = funcname")
        if database == "postgresql":
            execute(other, "LOCK TABLE django_schwartz_funcmap")
        error = error_of(database, "UPDATE django_schwartz_funcmap SET funcname = funcname")

    dialect = dialect_of(connections[database])
    assert dialect.is_passing(error) is True
    assert dialect.is_unavailable(connections[database], error) is False
    connections[database].close()


def test_a_database_that_stays_away_is_asked_after_each_pause_and_then_its_error_is_raised(
    client, database, monkeypatch
):
    monkeypatch.setattr(outcome, "PAUSES", (0, 0, 0))
    job = client.dispatch_async("Note").job
    asked = []

    def attempt():
        asked.append(True)
        execute(database, "SELECT * FROM no_such_table")

    with pytest.raises(AnyDatabaseError, match="no_such_table"):
        outcome.patiently(job, attempt)

    assert len(asked) == 4


# Lost races


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_a_portable_grab_gives_up_after_ten_looks_at_which_others_were_faster(
    client, dialect, monkeypatch
):
    client.batch_size = 1
    handles = client.dispatch_jobs([Job(funcname="Note") for _ in range(12)])
    raced = iter(handles)
    monkeypatch.setattr(dialect, "after_select", lambda: lease_elsewhere(next(raced)))

    job = client.find_job_for_workers(["Note"])

    assert job is None
    assert next(raced) == handles[10]
    assert row_of(handles[11])["grabs"] == 0


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_a_portable_grab_looks_again_when_others_were_faster(client, dialect, monkeypatch):
    client.batch_size = 1
    handles = client.dispatch_jobs([Job(funcname="Note") for _ in range(3)])
    raced = iter(handles[:2])

    def lose_twice():
        if handle := next(raced, None):
            lease_elsewhere(handle)

    monkeypatch.setattr(dialect, "after_select", lose_twice)

    job = client.find_job_for_workers(["Note"])

    assert job.handle == handles[2]


@pytest.fixture
def before_each(database):
    """Call back before each statement of a kind, which then goes on; not for its own ones."""

    def wrapper(kind, callback, execute, sql, params, many, context):
        if sql.startswith(kind) and "uniqkey" in sql and not context["connection"].within:
            context["connection"].within = True
            try:
                callback()
            finally:
                context["connection"].within = False
        return execute(sql, params, many, context)

    connections[database].within = False
    return lambda kind, callback: connections[database].execute_wrapper(
        partial(wrapper, kind, callback)
    )


def test_a_job_whose_twin_leaves_the_queue_before_it_is_looked_at_is_queued(
    client, database, before_each
):
    twin = client.dispatch_async("Note", "the first", uniqkey="7")

    with before_each("SELECT", Job.objects.all().delete):
        handle = client.dispatch_async("Note", "the second", uniqkey="7")

    assert not handle.is_duplicate
    assert handle != twin
    assert handle.job.arg == "the second"


def test_a_uniqkey_that_is_taken_and_never_to_be_seen_is_an_error_and_breaks_nothing(
    client, database, before_each
):
    func = client.dispatch_async("Note").job.func
    Job.objects.all().delete()

    def come():
        Job.objects.create(func=func, uniqkey="7", run_after=1)

    with transaction.atomic(using=database):
        with (
            before_each("INSERT", come),
            before_each("SELECT", Job.objects.all().delete),
            pytest.raises(UnseenRow, match="uniqkey '7' is there, but not to be seen"),
        ):
            client.dispatch_async("Note", uniqkey="7")
        handle = client.dispatch_async("Note", "after")

    assert handle.job.arg == "after"


# Rows as files


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize(
    "arg", [None, {"to": "a@example.org"}, b"\xff\x00", ""], ids=["none", "dict", "bytes", "empty"]
)
def test_a_job_that_is_dumped_and_loaded_has_the_same_row(client, database, form, arg):
    handle = client.dispatch_async("Note", arg, uniqkey="7", coalesce="x")
    before = row_of(handle)

    dumped = serialize(form, Job.objects.all())
    Job.objects.all().delete()
    for loaded in deserialize(form, dumped, using=database):
        loaded.save(using=database)

    after = row_of(handle)
    exact = {"scheduled_for", "dispatched_at"}  # JSON keeps milliseconds
    assert {k: v for k, v in after.items() if k not in exact} == {
        k: v for k, v in before.items() if k not in exact
    }


def test_the_arg_of_the_class_is_no_value():
    assert repr(Job.arg).startswith("<property object at ")
