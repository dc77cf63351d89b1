"""The database's clock decides, whatever a client's clock shows. After t/client-time-unsync.t."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from django_schwartz import Worker, register
from django_schwartz.dialects import ServerMicroseconds, ServerTime
from django_schwartz.fields import UnixMicrosecondField
from django_schwartz.models import Error, ExitStatus, Job
from django_schwartz.retention import purge
from tests.app.models import Trace

AN_HOUR = 3600

#: An app for child processes: it sets their clock, and tells by an exit status how far it is off.
APP = """
import time
import time_machine
time_machine.travel(time.time() + {off}).start()
"""
WORKERS = """
import time
from time_machine import escape_hatch
from django_schwartz import Worker, register
@register
class TellClock(Worker):
    keep_exit_status_for = 60
    def work(self, job):
        job.permanent_failure(exit_status=round(time.time() - escape_hatch.time.time()))
"""


@pytest.fixture(params=[AN_HOUR, -AN_HOUR], ids=["ahead", "behind"])
def off(request):
    """Seconds by which a client's clock is ahead of the server's."""
    return request.param


@pytest.fixture
def wrong_clock(client, off):
    """The clock of this process is off."""
    with time_machine.travel(time.time() + off):
        yield off


@pytest.fixture
def run_worker(manage, tmp_path, off):
    """Have `runschwartz` do what is due, in a process whose clock is off."""
    app = tmp_path / "wrong_clock"
    app.mkdir()
    (app / "__init__.py").write_text(APP.format(off=off))
    (app / "workers.py").write_text(WORKERS)

    def run():
        process = manage(
            "runschwartz",
            "--until-done",
            PYTHONPATH=tmp_path,
            DJANGO_SCHWARTZ_TEST_APP="wrong_clock",
        )
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output

    return run


@pytest.fixture(autouse=True)
def _workers():
    register(Add)


class Add(Worker):
    grab_for = 60
    keep_exit_status_for = 600
    max_retries = 1
    retry_delay = 900

    def work(self, job):
        job.completed()


def shows_now(rows, column, *, plus=0):
    """Whether the column shows the server's time, or that of the last minute, plus some seconds."""
    is_exact = isinstance(rows.model._meta.get_field(column), UnixMicrosecondField)
    now, second = (ServerMicroseconds(), 1_000_000) if is_exact else (ServerTime(), 1)
    latest = now + plus * second
    return rows.filter(**{f"{column}__range": (latest - 60 * second, latest)}).exists()


def test_the_servers_time_is_not_the_clients(client, wrong_clock):
    server_time = client.get_server_time()

    assert isinstance(server_time, int)
    assert abs(time.time() - wrong_clock - server_time) < 60


# Processes


def test_the_clock_of_the_child_processes_is_off(client, run_worker, off):
    handle = client.dispatch_async("TellClock")

    run_worker()

    assert abs(handle.exit_status - off) < 60


def test_a_job_that_one_holds_is_not_done_again_by_one_with_another_clock(client, run_worker):
    handle = client.dispatch_async("Note")
    job = client.find_job_for_workers(["Note"])

    run_worker()

    assert job.completed() is True
    assert handle.exit_status == 0
    assert Trace.objects.count() == 0


def test_a_job_is_done_when_the_server_says_that_it_is_due(client, run_worker):
    due = client.dispatch_async("Note")
    delayed = client.dispatch_async("Note", run_after=timedelta(seconds=60))

    run_worker()

    assert due.exit_status == 0
    assert delayed.is_pending
    assert Trace.objects.count() == 1


def test_a_job_whose_lease_has_ended_by_the_servers_clock_is_taken_over(client, run_worker):
    handle = client.dispatch_async("Note")
    client.find_job_for_workers(["Note"])
    Job.objects.update(grabbed_until=ServerTime())

    run_worker()

    assert handle.exit_status == 0


def test_a_job_done_by_another_clock_is_recorded_in_the_servers_time(client, run_worker):
    client.dispatch_async("Note")

    run_worker()

    assert shows_now(ExitStatus.objects, "completion_time")
    assert shows_now(ExitStatus.objects, "started_at")


# Grabbing


def test_a_held_job_is_not_grabbed(client, dialect, wrong_clock):
    client.dispatch_async("Add")
    client.find_job_for_workers([Add])

    assert client.find_job_for_workers([Add]) is None


def test_a_delayed_job_is_not_grabbed(client, dialect, wrong_clock):
    client.dispatch_async("Add", run_after=timedelta(seconds=60))

    assert client.find_job_for_workers([Add]) is None


def test_a_due_job_is_grabbed(client, dialect, wrong_clock):
    client.dispatch_async("Add")

    assert client.find_job_for_workers([Add]) is not None


def test_a_job_is_due_in_the_very_second_that_the_server_shows(client, dialect, wrong_clock):
    client.dispatch_async("Add")
    Job.objects.update(run_after=ServerTime(), grabbed_until=ServerTime())

    assert client.find_job_for_workers([Add]) is not None


def test_a_lease_begins_by_the_servers_clock(client, dialect, wrong_clock):
    client.dispatch_async("Add")

    client.find_job_for_workers([Add])

    assert shows_now(Job.objects, "grabbed_until", plus=60)


# Dispatching


def test_a_dispatch_is_dated_by_the_server(client, dialect, wrong_clock):
    client.dispatch_async("Add")

    assert shows_now(Job.objects, "insert_time")
    assert shows_now(Job.objects, "run_after")
    assert shows_now(Job.objects, "dispatched_at")


def test_a_delay_begins_by_the_servers_clock(client, dialect, wrong_clock):
    client.dispatch_async("Add", run_after=timedelta(seconds=900))

    assert shows_now(Job.objects, "run_after", plus=901)
    assert shows_now(Job.objects, "scheduled_for", plus=900)


def test_a_moment_that_the_sender_names_is_kept_as_it_is(client, dialect, wrong_clock):
    handle = client.dispatch_async("Add", run_after=datetime(2100, 1, 1, tzinfo=UTC))

    assert handle.job.run_after == datetime(2100, 1, 1, tzinfo=UTC)


# Outcomes


@pytest.fixture
def job(client):
    """A job that this process holds."""
    client.dispatch_async("Add")
    return client.find_job_for_workers([Add])


def test_a_retry_is_delayed_by_the_servers_clock(job, wrong_clock):
    job.failed("try again")

    assert shows_now(Job.objects, "run_after", plus=901)


def test_a_failure_is_dated_by_the_server(job, wrong_clock):
    job.failed("try again")

    assert shows_now(Error.objects, "error_time")


def test_a_declined_job_is_delayed_by_the_servers_clock(job, wrong_clock):
    job.declined(timedelta(seconds=300))

    assert shows_now(Job.objects, "run_after", plus=301)


def test_an_exit_status_is_dated_by_the_server(job, wrong_clock):
    job.completed()

    assert shows_now(ExitStatus.objects, "completion_time")
    assert shows_now(ExitStatus.objects, "delete_after", plus=600)


def test_the_runtime_is_not_what_two_clocks_differ_by(client, wrong_clock):
    client.dispatch_async("Add")

    client.work_on(client.list_jobs("Add")[0].handle)

    assert 0 <= ExitStatus.objects.get().runtime < 60


def test_the_server_says_what_is_old_enough_to_be_purged(database, client, job, wrong_clock):
    job.completed()
    Error.objects.create(
        jobid=job.jobid, func_id=job.funcid, message="old", error_time=ServerTime() - 604_700
    )

    purged_too_early = purge(database)
    ExitStatus.objects.update(delete_after=ServerTime() - 1)
    Error.objects.update(error_time=ServerTime() - 604_801)

    assert purged_too_early == 0
    assert purge(database) == 2
