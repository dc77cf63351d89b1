"""Deadlines: a connection is cut on which something takes too long, and no other one is."""

import threading
import time

import pytest
from django.db import OperationalError, ProgrammingError, connections, transaction

from django_schwartz.deadline import Unanswered, within
from django_schwartz.dialects import dialect_of
from tests.threads import in_threads

servers = pytest.mark.only_on("postgresql", "mysql")
SLEEPS = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}


def sleep(alias, seconds):
    """Have the server take so long to answer."""
    with connections[alias].cursor() as cursor:
        cursor.execute(SLEEPS[connections[alias].vendor].format(seconds))


def watchdogs():
    return [thread for thread in threading.enumerate() if thread.name == "watchdog"]


@servers
def test_what_takes_longer_ends_then_and_says_so(database):
    connection = connections[database]
    began = time.monotonic()

    with (
        pytest.raises(Unanswered, match=r"no answer within 0\.3 s") as raised,
        within(0.3, connection),
    ):
        sleep(database, 20)

    assert 0.3 <= time.monotonic() - began < 2
    assert isinstance(raised.value, OperationalError)
    assert dialect_of(connection).is_unavailable(connection, raised.value)
    connection.close()
    sleep(database, 0)


@servers
def test_so_does_what_takes_longer_in_a_transaction(database):
    with (
        pytest.raises(Unanswered),
        within(0.3, connections[database]),
        transaction.atomic(using=database),
    ):
        sleep(database, 20)

    connections[database].close()
    sleep(database, 0)


@servers
def test_what_ends_in_time_leaves_its_connection_whole(database):
    for _ in range(3):
        with within(0.2, connections[database]):
            sleep(database, 0)
    sleep(database, 0.5)  # beyond what was the deadline

    assert connections[database].is_usable()


@servers
def test_without_a_deadline_nothing_is_cut(database):
    with within(None, connections[database]):
        sleep(database, 0.5)

    assert connections[database].is_usable()


@servers
def test_an_error_of_its_own_is_raised_as_it_is(database):
    with (
        pytest.raises(ProgrammingError, match="nowhere"),
        within(5, connections[database]),
        connections[database].cursor() as cursor,
    ):
        cursor.execute("SELECT nothing FROM nowhere")


@servers
def test_one_thread_watches_them_all_and_cuts_those_alone_that_are_late(database):
    def late():
        with pytest.raises(Unanswered), within(0.3, connections[database]):
            sleep(database, 20)
        return "late"

    def timely():
        with within(10, connections[database]):
            sleep(database, 1)
        return "timely"

    assert in_threads(late, timely, late, timely) == ["late", "timely", "late", "timely"]
    assert len(watchdogs()) == 1


@servers
def test_a_connection_that_is_made_within_is_cut_too(database):
    def connect_and_sleep():
        with within(0.3, connections[database]):
            threading.Event().wait(0.5)  # as a connection that takes its time
            sleep(database, 20)

    with pytest.raises(Unanswered):
        in_threads(connect_and_sleep)


@pytest.mark.only_on("sqlite")
def test_a_file_answers_when_it_does(database):
    with within(0.01, connections[database]), connections[database].cursor() as cursor:
        threading.Event().wait(0.1)
        cursor.execute("SELECT 1")

    assert connections[database].is_usable()
