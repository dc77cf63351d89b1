"""D14: one of three databases dies under load, and one is retired."""

import json
import threading
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import InvalidHandle
from django_schwartz.models import ExitStatus, Job, JobHandle, WorkerProcess
from tests.engine.conftest import Running
from tests.threads import in_threads
from tests.waiting import until

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.timeout(150)]

LEASE_SECONDS = 4
DEADLINE_SECONDS = 2


@pytest.fixture
def three(broken, database, add_database):
    """The aliases of three queues. The last one's server can be broken."""
    second = add_database("second", OPTIONS={"options": "-c search_path=second"})
    with connections[database].cursor() as cursor:
        cursor.execute("CREATE SCHEMA second")
    call_command("migrate", "django_schwartz", database=second, verbosity=0)
    yield [database, second, "broken"]
    with connections[database].cursor() as cursor:
        cursor.execute("DROP SCHEMA second CASCADE")


@pytest.fixture
def start(manage, three):
    """Start a `runschwartz` that looks in all three, unless it is to know others."""

    def start(*options, known=three):
        more = {alias: connections.settings[alias] for alias in three[1:]}
        queue = {
            "DATABASES": known,
            "LEASE_SECONDS": LEASE_SECONDS,
            "RETRY_SECONDS": 1,
            "DEADLINE_SECONDS": DEADLINE_SECONDS,
        }
        return manage(
            "runschwartz",
            "--no-reload",
            *options,
            DJANGO_SCHWARTZ_TEST_DATABASES=json.dumps(more),
            DJANGO_SCHWARTZ_TEST_SETTINGS=json.dumps(queue),
        )

    return start


class Load:
    """Dispatches from two threads until it is over; `handles` are what came of it."""

    def __init__(self, aliases):
        self._client = TheSchwartz(aliases, retry_seconds=1)
        self._is_over = threading.Event()
        self.handles = []
        self.slowest = 0

    def __enter__(self):
        dispatchers = [self._dispatch, self._dispatch]
        self._given = []
        self._thread = threading.Thread(target=lambda: self._given.extend(in_threads(*dispatchers)))
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._is_over.set()
        self._thread.join()
        assert len(self._given) == 2, "a dispatch was refused"

    def _dispatch(self):
        while not self._is_over.wait(0.01):
            began = time.monotonic()
            self.handles.append(self._client.dispatch_async("Note", len(self.handles)))
            self.slowest = max(self.slowest, time.monotonic() - began)


def longest_wait(alias):
    """The seconds that the slowest start in a database took."""
    rows = ExitStatus.objects.using(alias).values_list("dispatched_at", "started_at")
    return max((began - dispatched).total_seconds() for dispatched, began in rows)


def performed(alias):
    return sorted(ExitStatus.objects.using(alias).values_list("jobid", flat=True))


def await_all(handles, aliases):
    for alias in aliases:
        until(lambda alias=alias: not Job.objects.using(alias).exists(), 40)
        assert performed(alias) == sorted(h.jobid for h in handles if h.alias == alias)
        assert set(ExitStatus.objects.using(alias).values_list("status", flat=True)) == {0}


def test_a_dead_one_of_three_refuses_no_dispatch_and_delays_no_job_of_the_others(
    broken, three, start, any_thread_connects
):
    early = TheSchwartz(three[:1]).dispatch_async("Note")
    start("--processes", 2)
    until(lambda: not early.is_pending)
    ExitStatus.objects.all().delete()  # it waited for the worker's start
    with Load(three) as load:
        until(lambda: all(map(performed, three)))
        broken.down("crash")
        number = len(load.handles)
        until(lambda: len(load.handles) > number + 300)
        broken.up()
        number = len(load.handles)
        until(lambda: any(handle.alias == "broken" for handle in load.handles[number:]))

    connections["broken"].close()
    await_all(load.handles, three)
    assert max(map(longest_wait, three[:2])) < 1
    assert load.slowest < 1


def test_worker_processes_tell_which_one_is_dead_and_why(broken, three, start):
    def away():
        rows = WorkerProcess.objects.using(three[0])
        return [told for told in rows.values_list("away", flat=True) if told is not None]

    start("--processes", 1)
    until(lambda: away() == [{}])
    broken.down("crash")
    until(lambda: away() != [{}])  # a beat tells of it every ten seconds
    [told] = away()
    broken.up()
    until(lambda: away() == [{}])

    assert list(told) == ["broken"]
    assert told["broken"]


def test_a_frozen_one_of_three_delays_no_job_of_the_others_for_longer_than_the_deadline(
    broken, three, start, any_thread_connects
):
    early = [TheSchwartz([alias]).dispatch_async("Note") for alias in three]
    connections["broken"].close()
    running = Running(start("--processes", 2))
    until(lambda: not any(handle.is_pending for handle in early))
    children = running.children
    connections["broken"].close()
    ExitStatus.objects.all().delete()  # it waited for the worker's start
    with Load(three[:2]) as load:
        until(lambda: len(load.handles) > 50)
        broken.freeze()
        number = len(load.handles)
        until(lambda: len(load.handles) > number + 1000, 60)
        broken.thaw()
    late = [TheSchwartz(["broken"]).dispatch_async("Note") for _ in range(20)]
    connections["broken"].close()

    handles = [*early[1:], *load.handles]
    await_all([handle for handle in handles if handle.alias != "broken"], three[:2])
    until(lambda: not any(handle.is_pending for handle in late), 40)
    longest = max(map(longest_wait, three[:2]))
    print(f"{len(load.handles)} jobs, the longest wait {longest:.2f} s")
    assert longest < DEADLINE_SECONDS + 1
    assert running.children == children
    assert running.stop() == 0, running.output


def test_one_whose_sessions_are_all_cut_goes_on_at_once(
    broken, database, working, client, performed
):
    with working([database, "broken"], "Mail", retry_seconds=30):
        for alias in (database, "broken"):
            TheSchwartz([alias]).dispatch_async("Mail", alias)
        until(lambda: {*performed} == {database, "broken"})
        with connections["broken"].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

        began = time.monotonic()
        # named, so that it tells the workers of this process of no life
        handles = [client.dispatch_async("Mail", n, using="broken") for n in range(20)]
        until(lambda: not any(handle.is_pending for handle in handles))
        seconds = time.monotonic() - began
        connections["broken"].close()

    print(f"done {seconds:.2f} s after the cut")
    assert {*range(20)} < {*performed}
    assert seconds < 3


def test_a_database_is_retired_once_a_worker_of_its_own_has_done_what_is_left(broken, three, start):
    before, after = TheSchwartz(three), TheSchwartz(three[:2])
    handles = [before.dispatch_async("Note", number) for number in range(60)]
    later = before.dispatch_async("Note", run_after=timedelta(seconds=5), using="broken")
    connections["broken"].close()

    process = start("--database", "broken", "--until-done", known=three[:2])
    output, _ = process.communicate(timeout=40)
    left = list(Job.objects.using("broken").values_list("pk", flat=True))
    start("--database", "broken", known=three[:2])
    newer = [after.dispatch_async("Note") for _ in range(20)]

    assert process.returncode == 0, output
    assert left == [later.jobid]
    await_all([*handles, later], ["broken"])
    assert {handle.alias for handle in newer} <= {*three[:2]}
    assert JobHandle.from_string(str(later)).exit_status == 0
    with pytest.raises(InvalidHandle):
        after.lookup_job(later)
