"""At most one job of a function and uniqkey is queued. After t/unique.t."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import FuncMap, Job
from tests.app.models import Trace
from tests.rows import row_of, rows, statements
from tests.threads import in_threads
from tests.waiting import until


@pytest.fixture(autouse=True)
def _send():
    @register
    class Send(Worker):
        max_retries = 1

        def work(self, job):
            job.completed()


def test_a_second_job_of_the_same_function_and_uniqkey_is_not_queued(client, dialect):
    client.dispatch_async("Send", "first", uniqkey="7")
    before = rows()

    client.dispatch_async("Send", "second", uniqkey="7", priority=9, run_after=4_000_000_000)

    assert rows() == before


def test_a_duplicate_gets_the_handle_of_the_job_that_is_queued(client, dialect):
    first = client.dispatch_async("Send", uniqkey="7")

    second = client.dispatch_async("Send", uniqkey="7")

    assert second == first
    assert (first.is_duplicate, second.is_duplicate) == (False, True)


def test_the_job_object_of_a_duplicate_has_that_handle_too(client):
    first = client.dispatch_async("Send", uniqkey="7")
    job = Job(funcname="Send", uniqkey="7")

    client.dispatch_async(job)

    assert job.handle == first
    assert job.is_duplicate is True


def test_another_function_may_have_the_same_uniqkey(client, dialect):
    client.dispatch_async("Send", uniqkey="7")

    other = client.dispatch_async("Other", uniqkey="7")

    assert other.is_duplicate is False
    assert Job.objects.count() == 2


def test_jobs_without_a_uniqkey_never_collide(client, dialect):
    handles = [client.dispatch_async("Send", uniqkey=None) for _ in range(3)]

    assert [handle.is_duplicate for handle in handles] == [False, False, False]
    assert Job.objects.count() == 3


def test_the_empty_text_is_a_uniqkey(client, dialect):
    client.dispatch_async("Send", uniqkey="")

    second = client.dispatch_async("Send", uniqkey="")

    assert second.is_duplicate is True
    assert Job.objects.count() == 1


def test_a_number_is_the_uniqkey_that_its_digits_are(client, dialect):
    client.dispatch_async("Send", uniqkey=7)

    second = client.dispatch_async("Send", uniqkey="7")

    assert second.is_duplicate is True
    assert Job.objects.get().uniqkey == "7"


@pytest.mark.parametrize("other", ["K", "k ", " k", "k\t", "ⓚ", "k\N{COMBINING DOT BELOW}"])
def test_uniqkeys_are_told_apart_to_the_byte(client, dialect, other):
    client.dispatch_async("Send", uniqkey="k")

    second = client.dispatch_async("Send", uniqkey=other)

    assert second.is_duplicate is False
    assert sorted(Job.objects.values_list("uniqkey", flat=True)) == sorted(["k", other])


def test_composed_and_decomposed_letters_are_different_uniqkeys(client, dialect):
    client.dispatch_async("Send", uniqkey="\N{LATIN SMALL LETTER E WITH ACUTE}")

    second = client.dispatch_async("Send", uniqkey="e\N{COMBINING ACUTE ACCENT}")

    assert second.is_duplicate is False


def test_a_uniqkey_may_have_255_characters_of_any_script(client, dialect):
    handle = client.dispatch_async("Send", uniqkey="🐫" * 255)

    assert handle.job.uniqkey == "🐫" * 255


@pytest.mark.parametrize(
    ("uniqkey", "message"),
    [
        ("a\0b", "uniqkey holds NUL or half a surrogate pair"),
        ("\ud800", "uniqkey holds NUL or half a surrogate pair"),
        ("x" * 256, "uniqkey has 256 characters; 255 is the most"),
    ],
)
def test_a_uniqkey_that_some_database_would_refuse_is_refused_before_any_statement(
    client, database, uniqkey, message
):
    with statements(database) as sent, pytest.raises(ValueError, match=message):
        client.dispatch_async("Send", uniqkey=uniqkey)

    assert sent == []


@pytest.mark.parametrize("uniqkey", [b"bytes", 1.5, True, ["list"]])
def test_a_uniqkey_that_is_no_text_is_refused(client, uniqkey):
    with pytest.raises(TypeError, match="uniqkey must be text"):
        client.dispatch_async("Send", uniqkey=uniqkey)


def test_none_of_many_is_queued_when_one_has_a_bad_uniqkey(client):
    with pytest.raises(ValueError, match="256 characters"):
        client.dispatch_jobs([Job(funcname="Send"), Job(funcname="Send", uniqkey="x" * 256)])

    assert not Job.objects.exists()


# Over time


def test_a_job_that_another_holds_is_still_queued(client, dialect):
    first = client.dispatch_async("Send", uniqkey="7")
    client.find_job_for_workers(["Send"])

    assert client.dispatch_async("Send", uniqkey="7") == first


def test_a_job_that_waits_for_its_retry_is_still_queued(client, dialect):
    first = client.dispatch_async("Send", uniqkey="7")
    client.find_job_for_workers(["Send"]).failed()

    assert client.dispatch_async("Send", uniqkey="7") == first


def test_the_uniqkey_is_free_again_when_the_job_is_done(client, dialect):
    first = client.dispatch_async("Send", uniqkey="7")
    client.can_do("Send")
    client.work_once()

    second = client.dispatch_async("Send", uniqkey="7")

    assert second.is_duplicate is False
    assert second != first
    assert second.is_pending


def test_the_uniqkey_is_free_again_when_the_job_has_failed_for_good(client, dialect):
    client.dispatch_async("Send", uniqkey="7")
    client.find_job_for_workers(["Send"]).permanent_failure()

    assert client.dispatch_async("Send", uniqkey="7").is_duplicate is False


def test_a_job_may_dispatch_its_own_uniqkey_once_it_is_completed(client, database):
    client.dispatch_async("Send", uniqkey="7")
    job = client.find_job_for_workers(["Send"])

    with transaction.atomic(using=database):
        job.completed()
        again = client.dispatch_async("Send", uniqkey="7")

    assert again.is_duplicate is False
    assert again.is_pending


# Many at once


def test_of_two_equal_jobs_in_one_dispatch_the_second_is_a_duplicate(client, dialect):
    first, second, other = client.dispatch_jobs(
        [
            Job(funcname="Send", uniqkey="7", arg="first"),
            Job(funcname="Send", uniqkey="7", arg="second"),
            Job(funcname="Send", uniqkey="8"),
        ]
    )

    assert second == first
    assert [h.is_duplicate for h in (first, second, other)] == [False, True, False]
    assert Job.objects.get(uniqkey="7").arg == "first"


def test_a_duplicate_among_many_leaves_the_others_in_order(client, dialect):
    queued = client.dispatch_async("Send", uniqkey="7")

    handles = client.dispatch_jobs(
        [
            Job(funcname="Send", arg="a"),
            Job(funcname="Send", uniqkey="7"),
            Job(funcname="Send", arg="b"),
            Job(funcname="Send", uniqkey="8", arg="c"),
            Job(funcname="Send", arg="d"),
        ]
    )

    assert handles[1] == queued
    assert [handle.job.arg for handle in handles] == ["a", None, "b", "c", "d"]


# The caller's transaction


def test_the_callers_transaction_stays_usable(client, dialect, database):
    client.dispatch_async("Send", uniqkey="7")

    with transaction.atomic(using=database):
        Trace.objects.create(jobid=1, what="before")
        duplicate = client.dispatch_async("Send", uniqkey="7")
        Trace.objects.create(jobid=1, what="after")

    assert duplicate.is_duplicate is True
    assert Trace.objects.count() == 2


def test_a_uniqkey_whose_dispatch_was_rolled_back_is_free(client, dialect, database):
    with transaction.atomic(using=database):
        client.dispatch_async("Send", uniqkey="7")
        transaction.set_rollback(True, using=database)

    second = client.dispatch_async("Send", uniqkey="7")

    assert second.is_duplicate is False
    assert second.is_pending


def test_a_duplicate_that_was_found_in_a_transaction_stands_after_its_rollback(client, database):
    first = client.dispatch_async("Send", uniqkey="7")

    with transaction.atomic(using=database):
        second = client.dispatch_async("Send", uniqkey="7")
        transaction.set_rollback(True, using=database)

    assert second == first
    assert row_of(second)["uniqkey"] == "7"


def test_a_unique_dispatch_is_one_statement(client, database):
    FuncMap.objects.get_or_make("Send", using=database)

    with statements(database) as sent:
        client.dispatch_async("Send", uniqkey="7")

    assert sent == ["INSERT"]


def test_a_conflict_that_is_not_about_the_uniqkey_is_an_error(client, dialect):
    handle = client.dispatch_async("Send", uniqkey="7")

    with pytest.raises(Exception, match=r"(?i)unique.*(jobid|pkey)|PRIMARY"):
        client.dispatch_async(Job(funcname="Send", uniqkey="8", jobid=handle.jobid))


# Concurrency


def test_eight_threads_that_dispatch_one_uniqkey_at_once_queue_one_job(client, dialect):
    FuncMap.objects.get_or_make("Send", using=client.databases.aliases[0])
    start = threading.Barrier(8, timeout=20)

    def dispatch():
        start.wait()
        return TheSchwartz().dispatch_async("Send", uniqkey="7")

    handles = in_threads(*[dispatch] * 8)

    assert Job.objects.count() == 1
    assert len(set(handles)) == 1
    assert [handle.is_duplicate for handle in handles].count(False) == 1


WAITING = {
    "postgresql": """
        SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
        """,
    "mysql": """
        SELECT COUNT(*) FROM information_schema.processlist
        WHERE db = DATABASE() AND state = 'Update' AND time_ms > 100
        """,
}


def waits_for_a_lock(database):
    """Whether somebody does. SQLite does not tell, and has one writer at a time anyhow."""
    if database == "sqlite":
        return True
    with connections[database].cursor() as cursor:
        if database == "postgresql":
            cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(WAITING[database])
        return cursor.fetchone()[0] > 0


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_dispatch_waits_for_a_transaction_that_may_yet_free_the_uniqkey(
    client, database, is_committed
):
    FuncMap.objects.get_or_make("Send", using=database)

    def dispatch():
        try:
            return TheSchwartz().dispatch_async("Send", uniqkey="7")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using=database):
            client.dispatch_async("Send", uniqkey="7")
            other = pool.submit(dispatch)
            until(lambda: waits_for_a_lock(database))
            transaction.set_rollback(not is_committed, using=database)
        handle = other.result()

    assert handle.is_duplicate is is_committed
    assert Job.objects.count() == 1


DISPATCH = """
import os
from pathlib import Path
from django_schwartz.client import TheSchwartz
from tests.waiting import until
print("ready", flush=True)
until(Path(os.environ["START"]).exists)
for uniqkey in range(20):
    print(TheSchwartz().dispatch_async("Send", uniqkey=uniqkey).jobid)
"""


def test_eight_processes_that_dispatch_the_same_uniqkeys_queue_each_once(manage, tmp_path):
    start = tmp_path / "start"
    command = ("shell", "--verbosity", 0, "--command", DISPATCH)
    processes = [manage(*command, START=str(start)) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"

    start.touch()
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert len(set(outputs)) == 1, outputs
    assert Job.objects.count() == 20
