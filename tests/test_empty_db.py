"""A database without tables is no place for jobs, and no reason to crash. After t/empty-db.t."""

import logging

import pytest
from django.core.management import call_command
from django.db import Error, connections, transaction

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import AllDatabasesDead
from django_schwartz.models import Job
from django_schwartz.runner import Runner


@pytest.fixture
def empty(database, add_database, tmp_path):
    """The alias of a database that can be reached, and has no tables."""
    if database == "sqlite":
        yield add_database("empty", NAME=str(tmp_path / "empty.sqlite3"))
        return
    settings = connections[database].settings_dict
    name = f"{settings['NAME']}_empty"
    options = {**settings["OPTIONS"], "options": f"-c search_path={name}"}
    execute(database, f"CREATE SCHEMA {name}")
    yield add_database(
        "empty", **({"OPTIONS": options} if database == "postgresql" else {"NAME": name})
    )
    execute(database, f"DROP SCHEMA {name} {'CASCADE' if database == 'postgresql' else ''}")


def execute(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def migrate(alias):
    call_command("migrate", "django_schwartz", database=alias, verbosity=0)


@pytest.fixture
def lost_client(empty):
    """A client whose only database is the empty one."""
    return TheSchwartz([empty])


@pytest.fixture(autouse=True)
def _workers():
    register(Add)


class Add(Worker):
    def work(self, job):
        job.completed()


@pytest.mark.parametrize(
    "arguments",
    [
        ["migrate", "contenttypes"],
        ["migrate", "django_schwartz", "zero"],
        ["flush", "--no-input"],
    ],
    ids=" ".join,
)
def test_a_command_that_leaves_it_without_the_queues_tables_makes_no_functions(empty, arguments):
    if arguments[-1] == "zero":
        migrate(empty)

    call_command(*arguments, database=empty, verbosity=0)

    with connections[empty].cursor() as cursor:
        tables = connections[empty].introspection.table_names(cursor)
    assert "django_schwartz_funcmap" not in tables


def test_a_dispatch_says_what_is_missing_each_time(lost_client):
    for _ in range(2):
        with pytest.raises(AllDatabasesDead, match=r"'empty': .*django_schwartz_"):
            lost_client.dispatch_async("Add", {"numbers": [1, 2]})


def test_a_dispatch_says_how_to_make_the_tables(lost_client, dead_database):
    lost_client.databases.aliases.append(dead_database)

    with pytest.raises(AllDatabasesDead) as raised:
        lost_client.dispatch_async("Add")

    told = str(raised.value)
    assert told.endswith("). Run manage.py migrate --database empty.")
    assert "'dead': " in told


def test_a_dispatch_of_many_says_what_is_missing_each_time(lost_client):
    for _ in range(2):
        with pytest.raises(AllDatabasesDead, match=r"'empty': .*django_schwartz_"):
            lost_client.dispatch_jobs([Job(funcname="Add"), Job(funcname="Add")])


def test_the_databases_own_error_is_kept(lost_client):
    with pytest.raises(AllDatabasesDead) as raised:
        lost_client.dispatch_async("Add")

    assert list(raised.value.causes) == ["empty"]
    assert isinstance(raised.value.causes["empty"], Error)


def test_nobody_finds_work_in_it(lost_client):
    lost_client.can_do(Add)

    assert lost_client.work_once() is False
    assert lost_client.find_job_with_coalescing_value(Add, "a") is None
    assert lost_client.find_job_with_coalescing_prefix(Add, "a") is None
    assert lost_client.list_jobs(Add) == []


def test_jobs_go_to_the_database_that_has_tables(database, empty):
    client = TheSchwartz([empty, database])

    handles = [client.dispatch_async("Add") for _ in range(10)]

    assert {handle.alias for handle in handles} == {database}


def test_work_is_found_in_the_database_that_has_tables(database, empty):
    client = TheSchwartz([empty, database])
    client.can_do(Add)
    for _ in range(3):
        client.dispatch_async("Add")

    client.work_until_done()

    assert Job.objects.count() == 0


def test_inside_a_transaction_a_dispatch_is_answered_by_the_database_itself(lost_client, empty):
    with pytest.raises(Error, match="django_schwartz_"), transaction.atomic(using=empty):
        lost_client.dispatch_async("Add")


def test_inside_a_transaction_a_search_for_work_is_answered_by_the_database_itself(
    lost_client, empty
):
    lost_client.can_do(Add)

    with pytest.raises(Error, match="django_schwartz_"), transaction.atomic(using=empty):
        lost_client.work_once()

    assert lost_client.databases.causes == {}


def test_the_client_goes_on_as_soon_as_there_are_tables(lost_client, empty):
    lost_client.can_do(Add)
    lost_client.work_once()

    migrate(empty)
    handle = lost_client.dispatch_async("Add")

    assert handle.is_pending
    assert lost_client.work_once() is True
    assert not handle.is_pending


def test_a_runner_tells_of_it_once_and_goes_on_as_soon_as_there_are_tables(
    lost_client, empty, caplog
):
    lost_client.can_do(Add)
    runner = Runner(lost_client, delay=0)
    looks = []
    find = lost_client.find_next_job

    def find_next_job():
        looks.append(1)
        if len(looks) == 3:
            migrate(empty)
            lost_client.dispatch_async("Add")
        job = find()
        if job:
            runner.stop()
        return job

    lost_client.find_next_job = find_next_job
    with caplog.at_level(logging.ERROR, "django_schwartz"):
        runner.run()

    [line] = caplog.messages
    assert line.startswith("database 'empty' cannot be used, trying again within 30 s: ")
    assert caplog.records[0].exc_info is None
    assert Job.objects.using(empty).get().grabbed_until is None
