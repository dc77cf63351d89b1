"""Clock moves the time of every statement of the queue, until its block ends."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerMicroseconds, ServerTime, dialect_of
from django_schwartz.models import Error, FuncMap
from django_schwartz.testing import Clock, work_until_done
from tests.app.models import Trace

HOUR = timedelta(hours=1)
MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678_000, UTC)


def test_a_job_of_later_comes_due_when_the_clock_is_moved(in_test_case):
    def move():
        with Clock() as clock:
            TheSchwartz().dispatch_async("Note", "hi", run_after=HOUR)
            clock.move(HOUR - timedelta(seconds=30))
            before = len(work_until_done())
            clock.move(timedelta(seconds=31))
            return before, len(work_until_done()), Trace.objects.count()

    assert in_test_case(move) == (0, 1, 1)


def test_a_retry_comes_due_when_the_clock_is_moved(in_test_case):
    @register
    class Stubborn(Worker):
        max_retries, retry_delay = 1, 3600

        def work(self, job):
            job.failed("no")

    def move():
        with Clock() as clock:
            TheSchwartz().dispatch_async("Stubborn")
            counts = [len(work_until_done()), len(work_until_done())]
            clock.move(HOUR + timedelta(seconds=1))
            counts.append(len(work_until_done()))
            return counts, Error.objects.count()

    assert in_test_case(move) == ([1, 0, 1], 2)


def test_it_moves_back_as_well(client, database):
    before = client.get_server_time()

    with Clock() as clock:
        clock.move(-HOUR)
        moved = client.get_server_time()

    assert before - 3600 <= moved < before


def test_it_stops_at_a_moment_and_goes_on_from_there(client, database):
    note = FuncMap.objects.get_or_make("Note", using=database)
    times = FuncMap.objects.filter(pk=note.pk).values_list(ServerTime(), ServerMicroseconds())

    with Clock() as clock:
        clock.stop_at(MOMENT)
        stopped = times.all().get()
        clock.move(timedelta(milliseconds=500))
        later = times.all().get()

    assert stopped == (1_893_553_445, 1_893_553_445_678_000)
    assert later == (1_893_553_446, 1_893_553_446_178_000)


def test_what_is_dispatched_gets_the_moved_time(client, database):
    with Clock() as clock:
        clock.stop_at(MOMENT)
        job = client.dispatch_async("Note", run_after=HOUR).job

    assert job.dispatched_at == MOMENT
    assert job.scheduled_for == MOMENT + HOUR
    assert job.insert_time == MOMENT.replace(microsecond=0)


def test_the_time_is_as_it_was_after_the_block(client, database):
    dialect = dialect_of(connections[database])
    own = dialect.now, dialect.now_us

    with suppress(ZeroDivisionError), Clock() as clock:
        clock.move(HOUR)
        1 / 0  # noqa: B018

    assert (dialect.now, dialect.now_us) == own


def test_a_clock_within_a_clock_moves_on_from_it(client, database):
    before = client.get_server_time()

    with Clock() as outer:
        outer.move(HOUR)
        with Clock() as inner:
            inner.move(HOUR)
            within = client.get_server_time()
        after = client.get_server_time()

    assert 7200 <= within - before < 7300
    assert 3600 <= after - before < 3700
