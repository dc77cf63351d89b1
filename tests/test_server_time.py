"""The clock of the database can be asked, and is the one that decides. After t/server-time.t.

That no client's clock matters is in test_client_time_unsync.py.
"""

import pytest
from django.db import connections, transaction
from django.utils.connection import ConnectionDoesNotExist

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerMicroseconds, ServerTime
from django_schwartz.fields import unix_seconds
from django_schwartz.models import FuncMap, Job
from tests.rows import statements


def asked_of(database, sql):
    """What the database's own functions say."""
    with connections[database].cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


CLOCKS = {
    "sqlite": "SELECT unixepoch()",
    "postgresql": "SELECT floor(extract(epoch FROM clock_timestamp()))",
    "mysql": "SELECT UNIX_TIMESTAMP(SYSDATE())",
}


def test_it_is_the_databases_own_clock_in_whole_unix_seconds(client, database):
    before = asked_of(database, CLOCKS[database])

    server_time = client.get_server_time()

    assert isinstance(server_time, int)
    assert before <= server_time <= asked_of(database, CLOCKS[database])


def test_asking_is_one_statement(client, database):
    client.get_server_time()

    with statements(database) as sent:
        client.get_server_time()

    assert sent == ["SELECT"]


def test_it_goes_on_during_a_transaction(client, database):
    """The time of the statement, not that of the transaction's begin, as PostgreSQL's now() is."""
    note = FuncMap.objects.get_or_make("Note", using=database)
    rows = FuncMap.objects.filter(pk=note.pk).values_list(ServerMicroseconds(), flat=True)

    with transaction.atomic(using=database):
        times = [rows.all().get() for _ in range(50)]

    assert times == sorted(times)
    assert times[0] < times[-1]


def test_in_queries_it_is_the_same_clock(client, database):
    before = client.get_server_time()
    note = FuncMap.objects.get_or_make("Note", using=database)

    row = FuncMap.objects.annotate(s=ServerTime(), us=ServerMicroseconds()).get(pk=note.pk)

    after = client.get_server_time()
    assert before <= row.s <= after
    assert before <= row.us / 1_000_000 < after + 1


def test_it_dates_what_is_dispatched(client, dialect):
    before = client.get_server_time()

    job = client.dispatch_async("Note").job

    after = client.get_server_time()
    assert before <= unix_seconds(job.insert_time) <= after
    assert unix_seconds(job.run_after) == unix_seconds(job.insert_time)


def test_a_lease_ends_in_the_second_that_it_names(client, dialect):
    client.dispatch_async("Note")
    Job.objects.update(grabbed_until=ServerTime())

    assert client.find_job_for_workers(["Note"]) is not None


def test_each_of_two_databases_can_be_asked(two_databases):
    client = TheSchwartz()

    times = [client.get_server_time(using=alias) for alias in two_databases]

    assert all(isinstance(server_time, int) for server_time in times)
    assert abs(times[0] - times[1]) <= 5


def test_a_database_that_does_not_exist_cannot_be_asked(client):
    with pytest.raises(ConnectionDoesNotExist, match="nowhere"):
        client.get_server_time(using="nowhere")
