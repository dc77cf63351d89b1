"""What a torture cuts are its own sessions, and no others."""

import pytest
from django.db import Error, connections

from django_schwartz.torture.sessions import cut, living, name_of_session
from tests import pgbouncer

pytestmark = pytest.mark.only_on("postgresql", "mysql")


@pytest.fixture
def other(database, add_database):
    """A connection beside the test's own, to the same database."""
    return connections[add_database("other")]


def test_a_session_is_found_by_its_name_and_cut(database, other):
    name = name_of_session(other)

    found = living(database, {name, "1/1", "0"})
    cut(database, name)

    assert found == [name]
    with pytest.raises(Error), other.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_a_session_does_not_find_itself(database):
    assert living(database, {name_of_session(connections[database])}) == []


@pytest.mark.only_on("postgresql")
def test_a_process_whose_number_comes_again_is_another_session(database, other):
    pid, _, start = name_of_session(other).partition("/")
    earlier = f"{pid}/{float(start) - 1}"

    found = living(database, {earlier})
    cut(database, earlier)

    assert found == []
    with other.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.only_on("postgresql")
def test_a_session_that_a_pooler_lends_has_no_name(database, add_database, tmp_path):
    if pgbouncer.find() is None:
        pytest.skip("no pgbouncer on PATH (apt-get install pgbouncer)")
    with pgbouncer.in_front_of(connections[database], tmp_path) as through:
        pooled = connections[add_database("pooled", **through)]

        name = name_of_session(pooled)

        pooled.close()
    assert name is None
