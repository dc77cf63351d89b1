"""Of all who want a job, one gets it, and only while it is due. After t/grab-race.t."""

import threading
from contextlib import contextmanager

import pytest
from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerTime
from django_schwartz.fields import unix_seconds
from django_schwartz.models import Job
from tests.app.models import Trace
from tests.rows import end_lease, lease_elsewhere, row_of
from tests.threads import in_threads

portable = pytest.mark.parametrize("dialect", ["portable"], indirect=True)


class Add(Worker):
    grab_for = 60
    max_retries = 5
    retry_delay = 1000

    def work(self, job):
        job.completed()


@pytest.fixture(autouse=True)
def _workers():
    register(Add)


@pytest.fixture
def handle(client):
    """The handle of a job that is due."""
    return client.dispatch_async("Add", {"numbers": [1, 2]})


@pytest.fixture
def in_the_window(dialect, monkeypatch):
    """Have somebody else call a function, once, between the SELECT of a grab and its UPDATE."""

    def open_the_window(call):
        pending = [call]

        def after_select():
            if pending:
                in_threads(pending.pop())

        monkeypatch.setattr(dialect, "after_select", after_select)

    return open_the_window


def grab():
    """Grab a job of Add, as any client would."""
    return Add.grab_job(TheSchwartz())


# Two at once


def test_of_two_clients_one_gets_the_job(handle, dialect):
    start = threading.Barrier(2, timeout=20)

    def wait_and_grab():
        start.wait()
        return grab()

    jobs = in_threads(wait_and_grab, wait_and_grab)

    assert [job.handle for job in jobs if job] == [handle]
    assert handle.job.grabs == 1


#: An app for child processes: there, a grab is by compare-and-swap, and waits between its SELECT
#: and its UPDATE until another process is there too.
RACE = """
import os, threading, time
from functools import partial
from pathlib import Path
from django_schwartz.dialects import DIALECTS, Dialect

folder = Path(__file__).parent
def wait_for_the_other():
    (folder / f"{os.getpid()}.read").touch()
    end = time.monotonic() + 20
    while len(list(folder.glob("*.read"))) < 2 and time.monotonic() < end:
        threading.Event().wait(0.01)
for dialect in DIALECTS.values():
    dialect.grab = partial(Dialect.grab, dialect)
    dialect.after_select = wait_for_the_other
"""


def test_of_two_processes_that_saw_the_job_free_one_performs_it(client, manage, tmp_path):
    package = tmp_path / "race"
    package.mkdir()
    (package / "__init__.py").write_text(RACE)
    handle = client.dispatch_async("Note")

    processes = [
        manage(
            *("runschwartz", "--processes", 0, "--until-done"),
            PYTHONPATH=tmp_path,
            DJANGO_SCHWARTZ_TEST_APP="race",
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len(list(package.glob("*.read"))) == 2
    assert Trace.objects.count() == 1
    assert handle.exit_status == 0


# In the window between the SELECT and the UPDATE


@portable
def test_a_lost_race_leaves_the_winner_his_job(handle, in_the_window):
    won = []
    in_the_window(lambda: won.append(grab()))

    lost = grab()

    assert lost is None
    assert won[0].completed() is True
    assert not handle.is_pending


@portable
def test_a_lost_race_moves_on_to_the_next_job(client, handle, in_the_window):
    next_handle = client.dispatch_async("Add", "next")
    in_the_window(grab)

    job = grab()

    assert job.handle == next_handle


@portable
def test_a_job_that_was_performed_meanwhile_is_not_taken(handle, in_the_window):
    in_the_window(lambda: grab().completed())

    assert grab() is None
    assert not handle.is_pending


@portable
@pytest.mark.parametrize(
    "release",
    [
        lambda job: job.failed("try again in 1000 seconds"),
        lambda job: job.declined(4_102_444_800),
    ],
    ids=["failed", "declined"],
)
def test_a_job_grabbed_and_released_with_a_delay_is_not_taken(handle, in_the_window, release):
    in_the_window(lambda: release(grab()))

    job = grab()

    assert job is None
    assert Job.objects.delayed().get().handle == handle
    assert unix_seconds(handle.job.run_after) > unix_seconds(handle.job.insert_time) + 900


@portable
def test_the_delay_of_a_release_in_the_window_stands(client, handle, in_the_window):
    rows = []

    def fail():
        job = grab()
        job.arg = {"numbers": [1, 2], "tried": True}
        job.failed("try again in 1000 seconds")
        rows.append(row_of(handle))

    in_the_window(fail)

    grab()

    assert [row_of(handle)] == rows
    assert handle.job.arg == {"numbers": [1, 2], "tried": True}


@portable
def test_a_job_given_back_in_the_window_is_taken_at_the_next_look(handle, in_the_window):
    in_the_window(lambda: grab().give_back())

    job = grab()

    assert job.handle == handle
    assert job.grabs == 2


@portable
@pytest.mark.parametrize(
    "change",
    [
        {"grabbed_until": ServerTime() + 3600},
        {"grabbed_until": 0, "run_after": ServerTime() + 1000},
        {"grabbed_until": ServerTime() - 1, "run_after": ServerTime() + 1000},
    ],
    ids=["grabbed", "released with a delay", "released to a past lease with a delay"],
)
def test_what_a_perl_worker_does_in_the_window_is_seen_too(handle, in_the_window, change):
    # It knows no grabs and no grabbed_by.
    in_the_window(lambda: Job.objects.update(**change))

    assert grab() is None
    assert handle.job.grabs == 0


@portable
def test_a_job_postponed_in_the_window_is_not_taken(handle, in_the_window):
    in_the_window(lambda: Job.objects.update(run_after=4_102_444_800))

    assert grab() is None
    assert unix_seconds(handle.job.run_after) == 4_102_444_800


@portable
def test_a_job_is_performed_with_the_arg_that_it_has_when_it_is_taken(handle, in_the_window):
    in_the_window(lambda: Job.objects.update(arg=b'"edited"'))

    job = grab()

    assert job.arg == "edited"


@portable
def test_a_job_cancelled_in_the_window_is_passed_over(client, handle, in_the_window):
    next_handle = client.dispatch_async("Add")
    in_the_window(lambda: Job.objects.filter(pk=handle.jobid).delete())

    assert grab().handle == next_handle


@pytest.fixture
def after_the_update(database):
    """Have somebody else call a function just after the first UPDATE of the block is done."""

    @contextmanager
    def open_the_window(call):
        pending = [call]

        def wrapper(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if sql.startswith("UPDATE") and pending:
                in_threads(pending.pop())
            return result

        with connections[database].execute_wrapper(wrapper):
            yield
        assert not pending

    return open_the_window


@portable
def test_a_job_cancelled_as_soon_as_it_is_taken_is_passed_over(
    client, handle, dialect, after_the_update
):
    next_handle = client.dispatch_async("Add")

    with after_the_update(lambda: Job.objects.filter(pk=handle.jobid).delete()):
        job = grab()

    assert job.handle == next_handle


@portable
def test_a_lease_lost_as_soon_as_it_is_had_is_not_mistaken_for_the_next_ones(
    client, handle, dialect, after_the_update
):
    next_handle = client.dispatch_async("Add")

    with after_the_update(lambda: lease_elsewhere(handle)):
        job = grab()

    assert job.handle == next_handle


@portable
def test_a_lease_that_ends_is_won_by_one(handle, in_the_window):
    grab()
    end_lease(handle)
    won = []
    in_the_window(lambda: won.append(grab()))

    assert grab() is None
    assert won[0].handle == handle
    assert handle.job.grabs == 2
