"""The scoreboard: which processes work, and on what, as each of them told."""

import os
import socket

import pytest

from django_schwartz.dialects import SCOREBOARD, ServerTime
from django_schwartz.models import Job, WorkerProcess
from django_schwartz.scoreboard import Scoreboard
from django_schwartz.stats import who_works
from django_schwartz.wakeup import Ears
from tests.rows import statements


@pytest.fixture
def now():
    """The clock of the scoreboard: seconds."""
    return [0.0]


@pytest.fixture
def scoreboard(database, now):
    return Scoreboard(database, abilities=["Mail", "Index"], clock=lambda: now[0])


def process(name, *, ago):
    """The row of another process, whose last beat was so many seconds ago."""
    row = WorkerProcess.objects.create(name=name, host="elsewhere", pid=1)
    WorkerProcess.objects.filter(pk=row.pk).update(beat_at=ServerTime() - ago)
    return row


def test_a_beat_tells_who_works_and_what_it_can_do(scoreboard, client):
    before = client.get_server_time()

    scoreboard.beat()

    row = WorkerProcess.objects.get()
    assert (row.host, row.pid) == (socket.gethostname(), os.getpid())
    assert before <= row.started_at.timestamp() <= row.beat_at.timestamp()
    assert row.abilities == ["Mail", "Index"]
    assert row.jobs == []
    assert row.memory > 1_000_000


def test_a_beat_tells_which_other_databases_are_away_and_why(database):
    causes = {"queue2": OSError("no route\nto\0 host")}

    Scoreboard(database, abilities=[], causes=lambda: causes).beat()
    told = WorkerProcess.objects.get().away
    causes.clear()
    Scoreboard(database, abilities=[], causes=lambda: causes).beat()

    assert told == {"queue2": "no route to\\x00 host"}
    assert WorkerProcess.objects.get().away == {}


def test_a_beat_tells_of_the_jobs_being_performed_the_longest_first(scoreboard, client, database):
    jobs = [client.lookup_job(client.dispatch_async(name)) for name in ("Mail", "Index")]
    for job in jobs:
        job.begin()
    jobs[1]._begun -= 60

    scoreboard.beat(jobs)

    assert WorkerProcess.objects.get().jobs == [
        {"handle": str(jobs[1].handle), "funcname": "Index", "seconds": 60},
        {"handle": str(jobs[0].handle), "funcname": "Mail", "seconds": 0},
    ]


def test_a_process_with_many_jobs_tells_of_some(scoreboard):
    scoreboard.beat([Job(funcname="Mail") for _ in range(1000)])

    assert len(WorkerProcess.objects.get().jobs) == 50


def test_a_beat_is_one_statement(scoreboard, database):
    scoreboard.beat()

    with statements(database) as words:
        scoreboard.beat()

    assert words == ["UPDATE"]


def test_a_process_whose_row_was_lost_enters_it_again(scoreboard):
    scoreboard.beat()
    WorkerProcess.objects.all().delete()

    scoreboard.beat()

    assert WorkerProcess.objects.get().abilities == ["Mail", "Index"]


def test_a_process_that_ends_leaves(scoreboard):
    scoreboard.beat()

    scoreboard.leave()

    assert not WorkerProcess.objects.exists()


def test_ears_and_beats_tell_of_the_same_process(scoreboard, database):
    ears = Ears([database], poll_seconds=1)
    ears.listen()

    scoreboard.beat()

    row = WorkerProcess.objects.get()
    assert row.started_at
    assert row.is_idle == (database == "postgresql")
    ears.close()
    row.refresh_from_db()
    assert not row.is_idle


def test_processes_that_beat_lately_work(scoreboard, database):
    process("lately:1", ago=50)
    process("gone:1", ago=70)

    assert [row.name for row in who_works(database)] == ["lately:1"]


def test_processes_gone_for_long_are_forgotten_in_time(scoreboard, now):
    scoreboard.beat()
    process("gone:1", ago=500)
    process("gone:2", ago=700)

    scoreboard.beat()
    soon = sorted(WorkerProcess.objects.values_list("host", flat=True))
    now[0] += 60
    scoreboard.beat()

    assert len(soon) == 3
    assert not WorkerProcess.objects.filter(name="gone:2").exists()
    assert WorkerProcess.objects.count() == 2


def test_nobody_need_be_told_of_jobs_for_a_process_that_is_gone(scoreboard):
    gone, slow = process("gone:1", ago=70), process("slow:1", ago=50)
    WorkerProcess.objects.update(is_idle=True)

    scoreboard.beat()

    gone.refresh_from_db()
    slow.refresh_from_db()
    assert (gone.is_idle, slow.is_idle) == (False, True)


def test_the_table_is_named_as_the_statements_name_it():
    assert WorkerProcess._meta.db_table == SCOREBOARD


@pytest.mark.only_on("postgresql")
def test_the_table_writes_no_log(database):
    from django.db import connections

    with connections[database].cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = %s", [SCOREBOARD])
        assert cursor.fetchone() == ("u",)
