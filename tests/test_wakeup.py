"""An idle worker hears of a job as soon as it is committed, and nobody pays for it meanwhile."""

import threading
import time

import pytest
from django.db import connections, transaction

from django_schwartz import Worker, register
from django_schwartz.aftermath import Aftermath
from django_schwartz.engine import Entry
from django_schwartz.models import Job, WorkerProcess
from django_schwartz.wakeup import Ears, announce
from django_schwartz.wakeup.inotify import FileWatch
from tests import pgbouncer
from tests.rows import statements
from tests.threads import in_threads

#: On MariaDB the workers poll.
pytestmark = pytest.mark.only_on("sqlite", "postgresql")


class Again(Worker):
    max_retries = 5


@pytest.fixture
def ears_of():
    """Make ears for an alias."""
    made = []

    def make(alias, **options):
        made.append(Ears([alias], **{"poll_seconds": 1, **options}))
        return made[-1]

    yield make
    for ears in made:
        ears.close()


@pytest.fixture
def ears(database, ears_of):
    """Ears that are idle, proven and past their second looks."""
    ears = ears_of(database)
    listen_well(ears)
    return ears


def listen_well(ears):
    ears.listen()
    while ears.wait(0.3):
        ears.listen()
    assert ears.are_hearing


@pytest.fixture
def elsewhere():
    """Call something in another thread, on connections of its own, in a moment."""
    threads = []

    def start(function):
        def call():
            time.sleep(0.05)
            try:
                function()
            finally:
                connections.close_all()

        threads.append(threading.Thread(target=call))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def words_of(database, call):
    with statements(database) as words:
        call()
    return words


def test_a_dispatch_wakes_an_idle_worker(ears, client, elsewhere):
    elsewhere(lambda: client.dispatch_async("Anything"))

    assert ears.wait(4)


def test_a_dispatch_in_a_transaction_wakes_it_after_the_commit(ears, client, database, elsewhere):
    seen = []

    def dispatch():
        with transaction.atomic(using=database):
            client.dispatch_async("Anything")
            seen.append(Job.objects.count())
            time.sleep(0.1)

    elsewhere(dispatch)

    assert ears.wait(4)
    assert seen == [1]
    assert Job.objects.count() == 1


def test_a_dispatch_of_many_wakes_it(ears, client, elsewhere):
    elsewhere(lambda: client.dispatch_jobs([Job(funcname="Anything") for _ in range(3)]))

    assert ears.wait(4)


@pytest.mark.parametrize(
    "release",
    [Job.failed, Job.give_back, lambda job: Job.objects.release([job])],
    ids=["a retry", "given back", "released"],
)
def test_a_job_that_becomes_free_wakes_it(client, database, ears_of, elsewhere, release):
    register(Again)
    client.dispatch_async("Again")
    job = client.find_job_for_workers(["Again"])
    ears = ears_of(database)
    listen_well(ears)

    elsewhere(lambda: release(job))

    assert ears.wait(4)


@pytest.mark.parametrize("has_begun", [True, False], ids=["charged", "not begun"])
def test_a_job_of_a_dead_process_wakes_it(client, database, ears_of, elsewhere, has_begun):
    register(Again)
    client.dispatch_async("Again")
    job = client.find_job_for_workers(["Again"])
    entry = Entry(job.jobid, database, job.grabs, job.leases, has_begun)
    ears = ears_of(database)
    listen_well(ears)

    elsewhere(lambda: Aftermath([database], lease_seconds=60).of_death([entry], "signal 9"))

    assert ears.wait(4)


def test_nothing_wakes_it_while_nothing_happens(ears):
    assert not ears.wait(0.3)


def test_any_thread_wakes_it(ears, elsewhere):
    elsewhere(ears.wake)

    assert ears.wait(4)


def test_a_wake_before_the_wait_counts(ears):
    ears.wake()

    assert ears.wait(4)


def test_a_job_committed_while_it_was_busy_is_left_to_the_poll(ears, client, settings):
    ears.hush()
    in_threads(lambda: client.dispatch_async("Anything"))
    ears.listen()

    assert Job.objects.count() == 1  # which is what its poll sees


# What a dispatch costs


def test_a_dispatch_costs_nothing_more_while_nobody_is_idle(client, database):
    client.dispatch_async("Anything")

    assert words_of(database, lambda: client.dispatch_async("Anything")) == ["INSERT"]


@pytest.mark.only_on("postgresql")
def test_a_dispatch_costs_one_statement_more_while_a_worker_is_idle(ears, client, database):
    client.dispatch_async("Anything")

    words = words_of(database, lambda: client.dispatch_async("Anything"))

    assert words == ["INSERT", "SELECT"]


@pytest.mark.only_on("postgresql")
def test_the_dispatches_of_one_transaction_wake_it_once_and_after_the_commit(
    ears, client, database
):
    client.dispatch_async("Anything")

    def dispatch():
        with transaction.atomic(using=database):
            client.dispatch_async("Anything")
            client.dispatch_async("Anything")

    assert words_of(database, dispatch) == ["BEGIN", "INSERT", "INSERT", "COMMIT", "SELECT"]


def test_a_dispatch_that_is_rolled_back_wakes_nobody(ears, client, database):
    with transaction.atomic(using=database):
        client.dispatch_async("Anything")
        transaction.set_rollback(True, using=database)

    assert not any(ears.wait(0.1) for _ in range(2))


def test_an_announcement_that_fails_does_not_break_the_dispatch(
    ears, client, database, add_database, caplog
):
    connections[database].close()
    announce(add_database("gone", NAME="/nowhere/at/all"))

    assert client.dispatch_async("Anything")


@pytest.mark.only_on("postgresql")
def test_a_busy_worker_is_not_told(ears, client, database, elsewhere):
    ears.hush()

    client.dispatch_async("Anything")

    assert words_of(database, lambda: client.dispatch_async("Anything")) == ["INSERT"]
    assert not WorkerProcess.objects.filter(is_idle=True).exists()


# No wake-up is lost


def test_a_worker_that_became_idle_between_an_insert_and_its_late_commit_is_told(
    client, database, ears_of
):
    ears = ears_of(database, poll_seconds=60)

    with transaction.atomic(using=database):
        client.dispatch_async("Anything")
        in_threads(lambda: listen_well(ears))

    assert ears.wait(4)


def test_a_worker_that_became_idle_between_an_insert_and_its_quick_commit_looks_again(
    client, database, ears_of
):
    ears = ears_of(database, poll_seconds=60)
    proof = ears_of(database, poll_seconds=60)
    listen_well(proof)
    client.dispatch_async("Anything")

    with transaction.atomic(using=database):
        client.dispatch_async("Anything")
        ears.listen()

    assert ears.wait(4)


@pytest.mark.only_on("postgresql")
def test_an_old_snapshot_is_not_trusted(client, database, ears_of):
    ears = ears_of(database, poll_seconds=60)
    client.dispatch_async("Anything")

    with transaction.atomic(using=database):
        with connections[database].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT 1")
        listen_well(ears)
        client.dispatch_async("Anything")

    assert ears.wait(4)


# Where it cannot hear


def hangs_up(database):
    """End every connection that listens."""
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%' OR query LIKE"
            " 'INSERT INTO django_schwartz_workerprocess%'"
        )


@pytest.mark.only_on("postgresql")
def test_a_worker_whose_listening_connection_breaks_polls_and_makes_another(
    ears, client, database, caplog
):
    with caplog.at_level("INFO", "django_schwartz"):
        hangs_up(database)
        assert ears.wait(4)  # to poll
        assert not ears.are_hearing
        while not ears.are_hearing:
            ears.listen()
            ears.wait(0.2)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.only_on("postgresql")
def test_behind_a_pooler_in_transaction_mode_it_polls_by_itself_and_says_so_once(
    database, add_database, tmp_path, caplog, settings, ears_of
):
    if pgbouncer.find() is None:
        pytest.skip("no pgbouncer on PATH (apt-get install pgbouncer)")
    with pgbouncer.in_front_of(connections[database], tmp_path) as through:
        ears = ears_of(add_database("pooled", **through), poll_seconds=0.1)

        end = time.monotonic() + 20
        while not caplog.records and time.monotonic() < end:
            ears.listen()
            assert ears.wait(1)
        ears.listen()
        assert ears.wait(1)
    assert not ears.are_hearing
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "database 'pooled' does not tell of new jobs, so it is polled"
    ]
    assert not WorkerProcess.objects.filter(is_idle=True).exists()


@pytest.mark.only_on("postgresql")
def test_it_listens_on_a_connection_of_its_own_where_there_is_a_pool(
    database, add_database, client, elsewhere, ears_of
):
    options = {**connections.settings[database]["OPTIONS"], "pool": {"min_size": 1, "max_size": 1}}
    pooled = add_database("pooled", OPTIONS=options, CONN_MAX_AGE=0)
    with connections[pooled].cursor() as cursor:
        cursor.execute("SELECT 1")
        ears = ears_of(pooled, poll_seconds=1)
        listen_well(ears)

    elsewhere(lambda: client.dispatch_async("Anything"))

    assert ears.wait(4)
    connections[pooled].close()
    connections[pooled].close_pool()


def test_a_database_that_cannot_be_reached_is_polled(dead_database, ears_of):
    ears = ears_of(dead_database, poll_seconds=0.1)

    ears.listen()

    assert not ears.are_hearing
    assert ears.wait(4)


@pytest.mark.only_on("sqlite")
def test_a_database_in_memory_is_polled(add_database, ears_of):
    ears = ears_of(add_database("memory", NAME=":memory:"), poll_seconds=0.1)

    ears.listen()

    assert not ears.are_hearing
    assert ears.wait(4)


@pytest.mark.only_on("sqlite")
def test_without_word_of_writes_the_file_is_looked_at_more_often(
    database, client, elsewhere, monkeypatch, ears_of
):
    monkeypatch.setattr(FileWatch, "make", classmethod(lambda cls: None))
    ears = ears_of(database, poll_seconds=1)
    listen_well(ears)

    elsewhere(lambda: client.dispatch_async("Anything"))

    assert ears.wait(4)


def test_polling_backs_off_from_after_work_to_its_limit(dead_database, ears_of):
    now = [0.0]
    ears = ears_of(dead_database, poll_seconds=1, clock=lambda: now[0])
    ears.listen()

    def pauses():
        """How long each of the next waits is."""
        return [round(ears._next_poll() - now[0], 3) for _ in range(7)]

    assert pauses() == [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1]
    ears.hush()
    assert pauses()[:2] == [0.05, 0.1]
