"""What only MySQL and MariaDB do, asked of a MariaDB."""

import socket
import threading
from functools import partial

import pytest
from django.core.checks import run_checks
from django.db import OperationalError, connections, transaction

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerMicroseconds, ServerTime, dialect_of
from django_schwartz.engine import set_deadlines
from django_schwartz.exceptions import AllDatabasesDead, UnseenRow
from django_schwartz.models import FuncMap, Job
from tests.mariadb import is_pymysql
from tests.threads import in_threads
from tests.waiting import until

pytestmark = pytest.mark.only_on("mysql")

MIB = 2**20
#: When clocks in Berlin show 02:30 for the second time that day.
SECOND_HALF_PAST_TWO = 1_792_891_800


def execute(alias, sql, *params):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


@pytest.fixture
def own_settings(database):
    """Change variables of the session, for the test alone."""
    yield lambda sql: execute(database, sql)
    connections[database].close()


# What errors mean


@pytest.mark.parametrize(
    "code",
    [2002, 2003, 2006, 2013, 1040, 1045, 1047, 1049, 1053, 1114, 1146, 1290, 1792, 1927],
)
def test_a_server_that_is_away_or_takes_no_jobs_is_unavailable(database, code):
    connection = connections[database]
    error = OperationalError(code, "...")

    assert dialect_of(connection).is_unavailable(connection, error) is True
    assert dialect_of(connection).is_passing(error) is False


@pytest.mark.parametrize("code", [1020, 1205, 1213])
def test_a_conflict_with_another_passes(database, code):
    connection = connections[database]
    error = OperationalError(code, "...")

    assert dialect_of(connection).is_unavailable(connection, error) is False
    assert dialect_of(connection).is_passing(error) is True


@pytest.mark.parametrize("code", [1054, 1062, 1064, 1153, 1264, 1366, 1406, 1452, 2020])
def test_a_statement_that_is_wrong_or_too_large_is_the_callers_affair(database, code):
    connection = connections[database]
    error = OperationalError(code, "...")

    assert dialect_of(connection).is_unavailable(connection, error) is False
    assert dialect_of(connection).is_passing(error) is False


def test_a_session_that_was_killed_is_an_unavailable_queue(database):
    connection = connections[database]
    with pytest.raises(OperationalError) as killed:
        execute(database, "KILL CONNECTION_ID()")
    with pytest.raises(OperationalError) as gone:
        execute(database, "SELECT 1")

    dialect = dialect_of(connection)
    assert dialect.is_unavailable(connection, killed.value) is True
    assert dialect.is_unavailable(connection, gone.value) is True
    connection.close()


# Packets


def test_an_arg_that_the_server_would_not_take_is_refused_and_kills_no_database(client, settings):
    settings.SCHWARTZ = {**settings.SCHWARTZ, "MAX_ARG_BYTES": 64 * MIB}

    with pytest.raises(ValueError, match="its max_allowed_packet is 16,777,216"):
        client.dispatch_async("Note", b"\0" * 20 * MIB)

    assert client.databases.causes == {}
    assert client.dispatch_async("Note").is_pending


def test_many_args_that_the_server_would_not_take_in_one_statement_are_stored(client):
    jobs = [Job(funcname="Note", arg=bytes([n]) * MIB) for n in range(24)]

    handles = client.dispatch_jobs(jobs)

    assert [handle.job.arg[:1] for handle in handles[::8]] == [b"\0", b"\x08", b"\x10"]


# Duplicates in a batch


def test_a_batch_tells_each_of_its_duplicates_in_its_place(client):
    queued = client.dispatch_async("Note", uniqkey="c")

    handles = client.dispatch_jobs(
        Job(funcname="Note", arg=n, uniqkey=key) for n, key in enumerate("abcda")
    )

    assert [handle.is_duplicate for handle in handles] == [False, False, True, False, True]
    assert handles[2] == queued
    assert handles[4] == handles[0]
    assert [handle.job.arg for handle in handles[:2]] == [0, 1]


def test_nothing_but_a_uniqkey_makes_a_duplicate(client, database):
    jobs = Job.objects.using(database)
    funcid = FuncMap.objects.get_or_make("Note", using=database).funcid
    execute(database, "DELETE FROM django_schwartz_funcmap WHERE funcid = %s", funcid)

    with pytest.raises(Exception, match="foreign key"):
        jobs.dispatch([Job(funcname="Note", uniqkey="7")])


# Locks


@pytest.fixture
def cross(database):
    """Have a heavier transaction cross one that dispatches the uniqkeys a and b."""
    FuncMap.objects.get_or_make("Note", using=database)
    has_b = threading.Barrier(2, timeout=20)

    def waiting_for_b():
        sql = (
            "SELECT 1 FROM information_schema.processlist"
            " WHERE db = DATABASE() AND state = 'Update' AND time_ms > 100"
        )
        return execute(database, sql)

    def heavier():
        client = TheSchwartz()
        with transaction.atomic(using=database):
            client.dispatch_jobs([Job(funcname="Note") for _ in range(100)])
            client.dispatch_async("Note", uniqkey="b")
            has_b.wait()
            until(waiting_for_b)
            return client.dispatch_async("Note", uniqkey="a")

    def cross(dispatch):
        def lighter():
            has_b.wait()
            return dispatch([Job(funcname="Note", uniqkey=key) for key in "ab"])

        return in_threads(heavier, lighter)

    return cross


def test_a_dispatch_of_many_that_loses_a_deadlock_is_made_again(cross):
    a, handles = cross(lambda jobs: TheSchwartz().dispatch_jobs(jobs))

    assert handles[0] == a
    assert [handle.is_duplicate for handle in handles] == [True, True]


def test_a_transaction_that_loses_a_deadlock_is_the_callers_to_repeat(cross, database):
    @transaction.atomic(using=database)
    def dispatch(jobs):
        for job in jobs:
            TheSchwartz().dispatch_async(job)

    with pytest.raises(OperationalError, match="1213"):
        cross(dispatch)

    assert set(Job.objects.exclude(uniqkey=None).values_list("uniqkey", flat=True)) == {"a", "b"}


def test_a_job_that_another_has_locked_is_passed_over(client, database, own_settings, add_database):
    other = add_database("other")
    locked, free = client.dispatch_async("Note"), client.dispatch_async("Note")
    own_settings("SET innodb_lock_wait_timeout = 0")

    with transaction.atomic(using=other):
        Job.objects.using(other).select_for_update().get(pk=locked.jobid)
        job = client.find_job_for_workers(["Note"])

    assert job.handle == free


def test_jobs_of_many_functions_are_grabbed_in_the_order_of_their_priorities(client):
    for n in range(12):
        client.dispatch_async("ABC"[n % 3], n, priority=n // 4)
    order = [8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3]

    jobs = [client.find_job_for_workers(["A", "B", "C"]) for _ in order]

    assert [job.arg for job in jobs] == order
    assert client.find_job_for_workers(["A", "B", "C"]) is None


def test_no_backlog_is_sorted_for_a_grab_of_many_functions(client, database):
    client.dispatch_jobs([Job(funcname="ABC"[n % 3], priority=n % 5) for n in range(20_000)])
    execute(database, "ANALYZE TABLE django_schwartz_job")
    lease = client.lease(["A", "B", "C"], database)
    candidates = Job.objects.due().of(lease.seconds).in_order(prioritize=True)[:50]

    look = dialect_of(connections[database]).in_turn(candidates, lease)

    plan = execute(database, f"EXPLAIN {look.raw_query}", *look.params)
    assert [row[5:7] for row in plan[:3]] == [("schwartz_job_grab", "4")] * 3
    assert not any("filesort" in (row[9] or "") for row in plan[:3])


# Snapshots


@pytest.fixture
def repeatable(database, add_database):
    """An alias whose transactions see nothing that was committed since they began to read."""
    given = connections[database].settings_dict["OPTIONS"]
    return add_database("other", OPTIONS={**given, "isolation_level": "repeatable read"})


@pytest.fixture
def dispatch_meanwhile(client):
    """Dispatch a job in another session, the first time that this is called."""

    def dispatch_by_another(once, funcname, uniqkey):
        for _ in once:
            client.dispatch_async(funcname, uniqkey=uniqkey)

    return lambda funcname, uniqkey: partial(dispatch_by_another, iter([1]), funcname, uniqkey)


@pytest.mark.parametrize("raced", [("Note", "a"), ("Racing", None)], ids=["uniqkey", "function"])
def test_a_dispatch_of_many_that_cannot_see_what_another_committed_is_made_again(
    repeatable, dispatch_meanwhile, raced
):
    meanwhile = dispatch_meanwhile(*raced)
    jobs = [Job(funcname="Note") for _ in range(1000)]

    handles = TheSchwartz([repeatable]).dispatch_jobs(
        [*jobs, Job(funcname=raced[0], uniqkey="a")], on_progress=lambda number: meanwhile()
    )

    assert handles[-1].is_pending
    assert handles[-1].is_duplicate is (raced[1] == "a")
    assert len(set(handles)) == 1001


@pytest.mark.parametrize(
    ("raced", "unseen"),
    [(("Note", "a"), "The job that has the uniqkey"), (("Racing", None), "The function 'Racing'")],
    ids=["uniqkey", "function"],
)
def test_a_transaction_that_cannot_see_what_another_committed_is_the_callers_to_repeat(
    repeatable, dispatch_meanwhile, raced, unseen
):
    meanwhile = dispatch_meanwhile(*raced)

    @transaction.atomic(using=repeatable)
    def dispatch():
        TheSchwartz([repeatable]).dispatch_async("Note")
        meanwhile()
        return TheSchwartz([repeatable]).dispatch_async(raced[0], uniqkey="a")

    with pytest.raises(UnseenRow, match=f"{unseen} .*make the transaction again"):
        dispatch()
    assert dispatch().is_pending


# The clock


def test_the_hour_that_comes_twice_is_told_apart(database, own_settings):
    FuncMap.objects.get_or_make("Note", using=database)
    own_settings(f"SET time_zone = 'Europe/Berlin', timestamp = {SECOND_HALF_PAST_TWO}")

    times = FuncMap.objects.values_list(ServerTime(), ServerMicroseconds()).first()

    assert times == (SECOND_HALF_PAST_TWO, SECOND_HALF_PAST_TWO * 1_000_000)


# The server's settings


def warned_of(alias):
    """The ids of what is found wrong with the database and with this package's tables in it."""
    found = run_checks(databases=[alias])
    ours = [message.id for message in found if "schwartz" in f"{message.id} {message.obj!r}"]
    return [each for each in ours if each != "django_schwartz.W001"]


def test_a_server_of_the_usual_settings_is_well(database):
    assert warned_of(database) == []


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"init_command": "SET sql_mode = ''"}, "django_schwartz.W012"),
        ({"isolation_level": "repeatable read"}, "django_schwartz.W013"),
        ({"isolation_level": None}, "django_schwartz.W013"),
    ],
    ids=str,
)
def test_a_setting_that_would_mangle_or_miss_jobs_is_told(
    database, add_database, settings, options, warning
):
    given = connections[database].settings_dict["OPTIONS"]
    alias = add_database("other", OPTIONS={**given, **options})
    settings.SCHWARTZ = {"DATABASES": [alias]}

    assert warning in warned_of(alias)


def test_a_database_of_another_character_set_is_told(database, add_database, settings):
    name = f"{connections[database].settings_dict['NAME']}_latin1"
    execute(database, f"CREATE DATABASE {name} CHARACTER SET latin1")
    alias = add_database("other", NAME=name)
    settings.SCHWARTZ = {"DATABASES": [alias]}

    found = warned_of(alias)

    execute(database, f"DROP DATABASE {name}")
    assert found == ["django_schwartz.W011"]


def test_a_worker_gives_a_server_up_that_never_answers(database, add_database):
    own = connections[database].settings_dict["OPTIONS"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        # PyMySQL's connect_timeout is over once there is a connection, of which nothing has come.
        options = {"read_timeout": 1} if is_pymysql() else {"connect_timeout": 1}
        hole = add_database("hole", HOST="127.0.0.1", PORT=port, OPTIONS={**own, **options})
        set_deadlines([hole])

        with pytest.raises(AllDatabasesDead):
            TheSchwartz([hole]).dispatch_async("Mail")


def test_a_worker_waits_ten_seconds_for_a_connection_where_nothing_is_said(database, add_database):
    own = connections[database].settings_dict["OPTIONS"]
    alias = add_database("other", OPTIONS={**own})

    set_deadlines([alias])

    assert connections.settings[alias]["OPTIONS"]["connect_timeout"] == 10
    assert TheSchwartz([alias]).dispatch_async("Mail").is_pending
