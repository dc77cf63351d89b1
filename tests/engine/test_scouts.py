"""Scouts find out whether a dead database answers again, while the others are served."""

import pytest
from django.db import OperationalError, connections

from django_schwartz.databases import Databases, Deaths
from django_schwartz.engine.scouts import Scouts
from tests.threads import in_threads


class Thread:
    """In the place of a settler: does at once what it is called for."""

    def call(self, task):
        task()


@pytest.fixture
def deaths():
    return Deaths(lambda: 0)


@pytest.fixture
def scouts(deaths, returned):
    """Make scouts for these databases."""

    def make(*aliases):
        databases = Databases(aliases, retry_seconds=30, deaths=deaths)
        settlers = dict.fromkeys(aliases, Thread())
        return Scouts(databases, settlers, on_return=lambda: returned.append("back"))

    return make


@pytest.fixture
def returned():
    return []


def test_a_database_that_answers_again_is_asked_once(database, dead_database, deaths, scouts):
    these = scouts(database, dead_database)
    deaths.note(database, OperationalError("away"))

    may_ask = [these.may_ask(database) for _ in range(3)]

    assert may_ask == [False, True, False]


def test_a_database_that_does_not_answer_is_not_asked_and_dead_for_as_long_again(
    database, dead_database, deaths, scouts, returned
):
    these = scouts(database, dead_database)
    deaths.suspect(dead_database, OperationalError("cut"))

    may_ask = [these.may_ask(dead_database) for _ in range(2)]

    assert may_ask == [False, False]
    assert deaths.age(dead_database) == 0
    assert returned == []


@pytest.mark.only_on("postgresql")
def test_a_scout_whose_own_connection_was_cut_meanwhile_finds_the_database_alive(
    database, dead_database, deaths, scouts, returned, any_thread_connects
):
    these = scouts(database, dead_database)
    connections[database].ensure_connection()
    pid = connections[database].connection.info.backend_pid
    in_threads(lambda: end_session(database, pid))
    deaths.note(database, OperationalError("away"))

    may_ask = [these.may_ask(database) for _ in range(2)]

    assert may_ask == [False, True]
    assert returned == ["back"]


def end_session(alias, pid):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
