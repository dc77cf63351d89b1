"""D8, D11, D12, D14, D16, D20 to D23: servers that freeze, are full, locked, or take no writes."""

import threading
import time

import pytest
from django.core.management import call_command
from django.db import connections, transaction

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import AllDatabasesDead
from django_schwartz.models import FuncMap, Job
from tests import pgbouncer
from tests.faults.conftest import asking_first
from tests.threads import in_threads
from tests.waiting import until

postgresql = pytest.mark.only_on("postgresql")


def with_settings(add_database, database, settings):
    """An alias for the same database, with these settings of its sessions."""
    own = connections[database].settings_dict["OPTIONS"]
    return add_database("other", OPTIONS={**own, "options": settings})


@postgresql
def test_a_worker_goes_on_when_a_frozen_server_thaws(broken, working, performed):
    handles = [TheSchwartz(["broken"]).dispatch_async("Mail", n) for n in range(20)]
    connections["broken"].close()

    with working("broken", "Mail", lease_seconds=60):
        until(lambda: performed)
        broken.freeze()
        threading.Event().wait(2)
        broken.thaw()
        until(lambda: not any(handle.is_pending for handle in handles))

    assert sorted(performed) == list(range(20))


@pytest.mark.only_on("sqlite")
def test_a_full_disk_sends_dispatches_to_the_next_database_until_there_is_room(
    database, add_database, tmp_path
):
    add_database("full", NAME=str(tmp_path / "full.sqlite3"))
    call_command("migrate", "django_schwartz", database="full", verbosity=0)
    client = asking_first("full", database)
    client.dispatch_async("Mail")
    [pages] = limit_pages(0)

    limit_pages(pages)
    refused = client.dispatch_async("Mail", "x" * 100_000)
    kept = [job.arg for job in Job.objects.using("full")]
    limit_pages(10 * pages)
    until(lambda: not client.databases.is_dead("full"))
    taken = client.dispatch_async("Mail", "x" * 100_000)

    assert refused.alias == database
    assert refused.job.arg == "x" * 100_000
    assert kept == [None]
    assert taken.alias == "full"
    assert Job.objects.using("full").count() == 2


@postgresql
def test_a_full_disk_of_a_server_sends_dispatches_to_the_next_database_until_there_is_room(
    database, small, working, performed
):
    client = asking_first("small", database)
    FuncMap.objects.get_or_make("Mail", using="small")
    before = client.dispatch_async("Mail", "before")

    small.fill_disk()
    refused = [client.dispatch_async("Mail", "x" * 1_000_000) for _ in range(30)]
    with working(["small", database], "Mail", retry_seconds=0.5):
        until(lambda: performed.count("x" * 1_000_000) == 30)
        small.free_disk()
        until(lambda: not before.is_pending)
        until(lambda: not client.databases.is_dead("small"))
        taken = client.dispatch_async("Mail", "taken")
        until(lambda: not taken.is_pending)

    assert before.alias == "small"
    assert {handle.alias for handle in refused} == {database}
    assert taken.alias == "small"
    assert sorted(performed)[:2] == ["before", "taken"]
    assert len(performed) == 32


def limit_pages(number):
    with connections["full"].cursor() as cursor:
        if not number:
            return cursor.execute("PRAGMA page_count").fetchone()
        return cursor.execute(f"PRAGMA max_page_count = {number}").fetchone()


@postgresql
def test_serializable_sessions_perform_each_job_once(
    database, add_database, working, client, performed, caplog
):
    alias = with_settings(add_database, database, "-c default_transaction_isolation=serializable")
    handles = [client.dispatch_async("Mail", number) for number in range(300)]

    with working(alias, "Mail"), working(alias, "Mail"), working(alias, "Mail"):
        until(lambda: not any(handle.is_pending for handle in handles), 40)

    assert sorted(performed) == list(range(300))
    assert {handle.failures for handle in handles} == {0}
    assert "cannot be used" not in caplog.text


@postgresql
def test_a_dispatch_of_many_that_loses_a_deadlock_is_made_again(database, client, caplog):
    """Each waits for a uniqkey that the other has; PostgreSQL ends the one that waited first."""
    FuncMap.objects.get_or_make("Mail", using=database)
    has_b = threading.Barrier(2, timeout=20)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

    def crossing():
        with transaction.atomic(using=database), connections[database].cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '20s'")
            TheSchwartz().dispatch_async("Mail", uniqkey="b")
            has_b.wait()
            until(waits_for_a_key)
            return TheSchwartz().dispatch_async("Mail", uniqkey="a")

    def waits_for_a_key():
        with connections[database].cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            return cursor.fetchone()

    def dispatching():
        has_b.wait()
        return TheSchwartz().dispatch_jobs(Job(funcname="Mail", uniqkey=key) for key in "ab")

    first, handles = in_threads(crossing, dispatching)
    with connections[database].cursor() as cursor:
        until(lambda: cursor.execute(deadlocks) or cursor.fetchone()[0])

    assert handles[0] == first
    assert [handle.is_duplicate for handle in handles] == [True, True]
    assert Job.objects.count() == 2
    assert "cannot be used" not in caplog.text


@postgresql
def test_when_all_databases_are_dead_each_is_named_and_a_worker_waits_for_them_in_peace(
    broken, dead_database, working, performed
):
    both = ["broken", dead_database]
    before = TheSchwartz(["broken"]).dispatch_async("Mail", "before")
    connections["broken"].close()
    broken.down("immediate")

    with working(both, "Mail", retry_seconds=30) as thread:
        threading.Event().wait(1)
        with pytest.raises(AllDatabasesDead) as raised:
            TheSchwartz(both).dispatch_async("Mail")
        began = time.process_time()
        threading.Event().wait(3)
        busy = time.process_time() - began
        broken.up()
        until(lambda: not before.is_pending)
        assert thread.is_alive()

    print(f"{busy:.2f} s of processor time in 3 s")
    assert list(raised.value.causes) == both
    assert all(repr(alias) in str(raised.value) for alias in both)
    assert busy < 1
    assert performed == ["before"]


@postgresql
def test_while_one_of_two_databases_is_dead_no_dispatch_is_refused_and_nothing_is_lost(
    broken, database, working, performed
):
    client = asking_first("broken", database)
    before = client.dispatch_async("Mail", "before")
    connections["broken"].close()

    broken.down("crash")
    meanwhile = [client.dispatch_async("Mail", number) for number in range(20)]
    broken.up()
    with working("broken", "Mail"):
        until(lambda: not before.is_pending)

    assert {handle.alias for handle in meanwhile} == {database}
    assert performed == ["before"]
    assert Job.objects.using(database).count() == 20


@postgresql
def test_a_table_that_is_locked_for_a_migration_is_waited_for(
    database, add_database, working, client, performed, caplog
):
    alias = with_settings(add_database, database, "-c lock_timeout=200ms")
    with working(alias, "Mail") as thread:
        with transaction.atomic(using=database), connections[database].cursor() as cursor:
            cursor.execute("LOCK TABLE django_schwartz_job IN ACCESS EXCLUSIVE MODE")
            until(lambda: "cannot go on for now" in caplog.text)
        handle = client.dispatch_async("Mail", "after")
        until(lambda: not handle.is_pending)

        assert thread.is_alive()
    assert performed == ["after"]


@postgresql
def test_a_database_that_is_locked_keeps_no_job_of_another_waiting(
    broken, database, add_database, working, client, performed
):
    options = {"options": "-c lock_timeout=100ms"}
    locked = add_database("locked", **broken.settings, OPTIONS=options)
    with (
        transaction.atomic(using="broken"),
        connections["broken"].cursor() as cursor,
        working([database, locked], "Mail"),
    ):
        cursor.execute("LOCK TABLE django_schwartz_job IN ACCESS EXCLUSIVE MODE")
        for number in range(20):
            client.dispatch_async("Mail", number)
            until(lambda number=number: number in performed, 2)

    assert performed == list(range(20))


@postgresql
def test_behind_a_pooler_in_transaction_mode_work_is_done(
    database, add_database, working, client, performed, tmp_path
):
    if pgbouncer.find() is None:
        pytest.skip("no pgbouncer on PATH (apt-get install pgbouncer)")
    with pgbouncer.in_front_of(connections[database], tmp_path) as through:
        alias = add_database("pooled", **through)
        handles = [TheSchwartz([alias]).dispatch_async("Mail", n) for n in range(50)]
        with working(alias, "Mail"):
            until(lambda: not any(handle.is_pending for handle in handles), 40)
        connections[alias].close()

    assert sorted(performed) == list(range(50))


@postgresql
def test_a_server_that_takes_no_writes_is_passed_over(database, add_database):
    alias = with_settings(add_database, database, "-c default_transaction_read_only=on")
    client = asking_first(alias, database)

    assert client.dispatch_async("Mail").alias == database
    assert alias in client.databases.causes


@postgresql
def test_when_there_are_too_many_connections_a_worker_waits_for_one(broken, working, performed):
    client = TheSchwartz(["broken"])
    with working("broken", "Mail") as thread:
        client.dispatch_async("Mail", "before")
        until(lambda: performed)
        hogs = hog(connections["broken"])
        kill_others(connections["broken"], hogs)
        threading.Event().wait(1)

        assert thread.is_alive()
        for one in hogs:
            one.close()
        client.dispatch_async("Mail", "after")
        until(lambda: performed == ["before", "after"])


def hog(connection):
    """Take every connection that the server has left."""
    taken = []
    try:
        while True:
            taken.append(connection.get_new_connection(connection.get_connection_params()))
    except connection.Database.OperationalError:
        return taken


def kill_others(connection, hogs):
    """End the sessions of everybody else, and take their places."""
    mine = [one.info.backend_pid for one in hogs]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ="
            " 'client backend' AND pid <> ALL (%s) AND pid <> pg_backend_pid()",
            [mine],
        )
    hogs += hog(connection)


class ReadsElsewhere:
    """A router that reads from a replica, as many projects have one."""

    def __init__(self, replica):
        self.replica = replica

    def db_for_read(self, model, **hints):
        return self.replica


def test_nothing_is_read_from_the_replica_of_a_router(
    database, settings, dead_database, client, performed
):
    settings.DATABASE_ROUTERS = [ReadsElsewhere(dead_database)]
    client.can_do("Mail")

    handle = client.dispatch_async("Mail", "here")
    client.work_until_done()

    assert performed == ["here"]
    assert handle.exit_status == 0
