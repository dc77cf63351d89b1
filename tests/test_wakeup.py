"""An idle worker hears of a job as soon as it is committed, and nobody pays for it meanwhile."""

import threading
import time

import pytest
from django.db import connections, transaction

from django_schwartz.models import Job
from django_schwartz.wakeup import Ears
from tests.rows import statements
from tests.threads import in_threads


@pytest.fixture
def ears(database):
    """Ears that are idle, proven and past their second looks."""
    ears = Ears([database], poll_seconds=1)
    listen_well(ears)
    yield ears
    ears.close()


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
