"""Data that is large, late, of another time zone or full of wildcards."""

import os
import re
from datetime import datetime, timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from django_schwartz import Worker, register, retention
from django_schwartz.client import TheSchwartz
from django_schwartz.fields import unix_seconds
from django_schwartz.models import Job
from tests.model.clock import Clock
from tests.rows import row_of

END_OF_32_BITS = 2**31


class Late(Worker):
    max_retries = 1
    retry_delay = 100
    grab_for = 60
    keep_exit_status_for = 3600

    def work(self, job):
        job.completed()


@pytest.fixture(autouse=True)
def _workers():
    register(Late)


# Large args


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_the_args_of_candidates_are_not_read(client, database, dialect):
    for _ in range(3):
        client.dispatch_async("Late", "x" * 100_000)

    with CaptureQueriesContext(connections[database]) as sent:
        client.find_job_for_workers(["Late"])

    candidates = next(query["sql"] for query in sent if "run_after" in query["sql"])
    assert candidates.startswith("SELECT")
    assert "uniqkey" in candidates
    assert not re.search(r"\barg\b", candidates)


# Letters of four bytes

MUSIC = "\N{MUSICAL SYMBOL G CLEF}\N{SNOWMAN}"


def test_letters_of_four_bytes_are_kept_in_every_column_of_text(client, dialect):
    named = client.dispatch_async(f"Late {MUSIC}")
    handle = client.dispatch_async(
        "Late", {MUSIC: MUSIC}, uniqkey=MUSIC, coalesce=MUSIC, queue_name=MUSIC
    )
    client.find_job_with_coalescing_value("Late", MUSIC).failed(MUSIC)

    job = client.lookup_job(handle)
    assert client.lookup_job(named).funcname == f"Late {MUSIC}"
    assert job.arg == {MUSIC: MUSIC}
    assert (job.uniqkey, job.coalesce, job.queue_name) == (MUSIC, MUSIC, MUSIC)
    assert handle.failure_log == [MUSIC]
    assert client.dispatch_async("Late", uniqkey=MUSIC) == handle


# After 2038


def test_a_job_lives_its_life_across_the_end_of_32_bits(client, dialect, monkeypatch):
    clock = Clock(dialect, monkeypatch)
    clock.set(END_OF_32_BITS - 1)
    handle = client.dispatch_async("Late", run_after=timedelta(seconds=1))
    clock.set(END_OF_32_BITS)
    client.find_job_for_workers(["Late"]).failed("once")
    failed = row_of(handle)
    clock.set(END_OF_32_BITS + 100)
    client.can_do("Late")

    worked = client.work_once()

    assert unix_seconds(failed["run_after"]) == END_OF_32_BITS + 100
    assert worked is True
    assert handle.exit_status == 0
    assert handle.failures == 1


# Time zones


@pytest.fixture(params=["America/New_York", "Asia/Kathmandu"])
def elsewhere(request, database):
    """The session of the database is in another time zone than anybody expects."""
    if connections[database].vendor == "postgresql":
        with connections[database].cursor() as cursor:
            cursor.execute(f"SET TIME ZONE '{request.param}'")
        yield request.param
        connections[database].close()
    else:
        yield request.param


@pytest.mark.parametrize("use_tz", [True, False])
def test_the_rows_are_the_same_in_every_time_zone(client, database, elsewhere, use_tz, settings):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, elsewhere
    before = client.get_server_time()

    handle = client.dispatch_async("Late", run_after=1_700_000_000)
    client.find_job_for_workers(["Late"])

    with connections[database].cursor() as cursor:
        cursor.execute("SELECT insert_time, run_after, grabbed_until FROM django_schwartz_job")
        insert_time, run_after, grabbed_until = cursor.fetchone()
    assert abs(before - datetime.now().timestamp()) < 120  # noqa: DTZ005 - local on purpose
    assert before <= insert_time <= grabbed_until - 60 <= client.get_server_time()
    assert run_after == 1_700_000_000
    assert handle.is_pending


# Wildcards

ANY_TEXT = st.text("aA%_\\*[]'\"é ", max_size=4)


def test_a_prefix_finds_what_begins_so_whatever_is_in_it(client, dialect):
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(coalesce=ANY_TEXT, prefix=ANY_TEXT)
    def check(coalesce, prefix):
        Job.objects.all().delete()
        client.dispatch_async("Late", coalesce=coalesce)
        is_found = client.find_job_with_coalescing_prefix("Late", prefix) is not None
        assert is_found == coalesce.startswith(prefix)

    check()


# Privileges


@pytest.fixture
def as_role(two_databases, monkeypatch):
    """Become, on PostgreSQL, a role that may do this to these tables, and nothing else."""
    connection, role = connections["postgresql"], f"role_{os.getpid()}"

    def become(privileges, *tables):
        with connection.cursor() as cursor:
            cursor.execute(
                f"CREATE ROLE {role} LOGIN; GRANT {privileges} ON {', '.join(tables)} TO {role};"
                f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
            )
        patch.setitem(connection.settings_dict, "USER", role)
        connection.close()

    with monkeypatch.context() as patch:
        yield become
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_worker_needs_to_read_and_write_rows_and_nothing_else(as_role):
    with connections["postgresql"].cursor() as cursor:
        tables = connections["postgresql"].introspection.table_names(cursor)
    ours = [table for table in tables if table.startswith("django_schwartz_")]
    as_role("SELECT, INSERT, UPDATE, DELETE", *ours)
    client = TheSchwartz(["postgresql"])
    client.can_do("Late")
    handle = client.dispatch_async("Late")

    client.work_until_done()

    assert handle.exit_status == 0
    assert [retention.purge("postgresql"), handle.failures] == [0, 0]


def test_who_only_dispatches_needs_to_read_and_insert_jobs_and_functions(as_role):
    tables = ("job", "funcmap", "workerprocess")  # of the last it only reads who is idle
    as_role("SELECT, INSERT", *[f"django_schwartz_{table}" for table in tables])
    client = TheSchwartz(["postgresql"])

    first = client.dispatch_async("Late", uniqkey="one")
    second = client.dispatch_async("A new one", uniqkey="one")

    assert client.dispatch_async("Late", uniqkey="one") == first
    assert second.is_pending
