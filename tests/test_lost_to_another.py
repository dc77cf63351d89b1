"""A dispatch outside transactions that loses to another session is made again, where it can be."""

import pytest
from django.db import OperationalError, connections

from django_schwartz.models import Job

pytestmark = pytest.mark.only_on("postgresql", "mysql")

LOSE_A_DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock'",
}


def execute(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def test_a_deadlock_after_jobs_that_cannot_be_had_again_is_raised(client, database):
    def lose(number):
        if number == 2000:
            execute(database, LOSE_A_DEADLOCK[database])

    with pytest.raises(OperationalError, match="eadlock"):
        client.dispatch_jobs((Job(funcname="Note") for _ in range(3000)), on_progress=lose)

    assert not Job.objects.exists()
