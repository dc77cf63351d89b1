"""The faults of a torture: what they learn of whom they fell upon."""

import pytest
from django.db import connections

from django_schwartz.models import Job
from django_schwartz.torture.faults import is_locked


@pytest.fixture
def frozen_writer(database, add_database):
    """A connection that has begun to write, and does not go on."""
    connection = connections[add_database("frozen")]
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"DELETE FROM {Job._meta.db_table}")
    return connection


@pytest.mark.only_on("sqlite")
def test_a_writer_that_is_frozen_has_locked_the_database(database, frozen_writer):
    assert is_locked(database)
    frozen_writer.close()
    assert not is_locked(database)


@pytest.mark.only_on("postgresql", "mysql")
def test_elsewhere_it_keeps_nobody_else_from_writing(database, frozen_writer):
    assert not is_locked(database)
