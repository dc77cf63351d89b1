"""A grab holds a job for a while, and changes nothing else of it."""

import threading

import pytest
from django.db import connections, transaction

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import Lease, ServerTime
from django_schwartz.fields import unix_seconds
from django_schwartz.identity import process_name
from django_schwartz.models import Job
from tests.rows import GRAB, LOOK, lease_elsewhere, row_of, statements
from tests.threads import in_threads


class Add(Worker):
    grab_for = 60


@pytest.fixture(autouse=True)
def _workers():
    register(Add)


@pytest.fixture
def handle(client):
    """The handle of a job that is due."""
    return client.dispatch_async("Add", {"numbers": [1, 2]})


def grab():
    """Grab a job of Add, as any client would."""
    return Add.grab_job(TheSchwartz())


def test_a_grab_changes_nothing_but_who_holds_the_job(client, dialect):
    handle = client.dispatch_async(
        Job(
            funcname="Add",
            arg={"spaced": 1},
            uniqkey="key",
            coalesce="c",
            priority=3,
            queue_name="mail",
            meta={"trace": "x"},
            run_after=1_000_000_000,
        )
    )
    Job.objects.update(arg=b'{"spaced" :  1}')
    before = row_of(handle)

    grab()

    after = row_of(handle)
    assert {name for name in after if after[name] != before[name]} == {
        "grabbed_until",
        "grabs",
        "grabbed_by",
        "grabbed_at",
    }
    assert after["grabs"] == 1


def test_a_grab_is_one_statement_but_on_mysql(client, handle, database):
    client.find_job_for_workers(["Add"])
    client.dispatch_async("Add")

    with statements(database) as sent:
        job = client.find_job_for_workers(["Add"])

    assert job is not None
    assert sent == GRAB[database]


def test_a_grab_that_finds_nothing_is_one_statement(client, handle, database):
    client.find_job_for_workers(["Add"])

    with statements(database) as sent:
        client.find_job_for_workers(["Add"])

    assert sent == LOOK[database]


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_the_portable_grab_of_an_empty_queue_is_one_statement(client, handle, database, dialect):
    client.find_job_for_workers(["Add"])

    with statements(database) as sent:
        client.find_job_for_workers(["Add"])

    assert sent == ["SELECT"]


@pytest.mark.parametrize(("grab_for", "seconds"), [(600, 600), (1, 1), (0, 1), (2.9, 2)], ids=str)
def test_a_job_is_held_for_the_seconds_that_its_worker_says(
    client, handle, dialect, monkeypatch, grab_for, seconds
):
    monkeypatch.setattr(Add, "grab_for", grab_for)

    before = client.get_server_time()
    job = grab()
    after = client.get_server_time()

    assert before + seconds <= unix_seconds(job.grabbed_until) <= after + seconds


def test_a_job_is_held_for_an_hour_unless_its_worker_says(client, dialect):
    @register
    class Plain(Worker):
        pass

    client.dispatch_async("Plain")

    before = client.get_server_time()
    job = Plain.grab_job(client)

    assert 3600 <= unix_seconds(job.grabbed_until) - before <= 3660


def test_the_jobs_of_each_function_are_held_for_its_own_time(client, dialect):
    @register
    class Long(Worker):
        grab_for = 10_000

    client.dispatch_async("Add")
    client.dispatch_async("Long")

    jobs = [client.find_job_for_workers([Add, Long]) for _ in range(2)]

    now = client.get_server_time()
    held = {job.funcname: unix_seconds(job.grabbed_until) - now for job in jobs}
    assert 0 < held["Add"] <= 60
    assert 9_900 < held["Long"] <= 10_000


def test_every_grab_has_a_name_of_its_own_that_tells_the_process(client, dialect):
    client.dispatch_jobs([Job(funcname="Add"), Job(funcname="Add")])

    names = [grab().grabbed_by, grab().grabbed_by]

    assert names[0] != names[1]
    assert {name.rpartition(":")[0] for name in names} == {process_name()}


def test_the_grabber_has_the_job_as_it_is_in_the_database(handle, dialect):
    job = grab()

    row = row_of(handle)
    assert job.arg == {"numbers": [1, 2]}
    for name in ("grabbed_until", "grabs", "grabbed_by", "run_after", "priority", "insert_time"):
        assert getattr(job, name) == row[name]


# What can be grabbed


def test_a_job_that_another_holds_is_not_grabbed(handle, dialect):
    lease_elsewhere(handle)

    assert grab() is None


def test_a_lease_is_open_for_others_in_the_very_second_in_which_it_ends(handle, dialect):
    Job.objects.update(grabbed_until=ServerTime())

    assert grab().handle == handle


def test_a_job_is_due_in_the_very_second_that_it_waits_for(handle, dialect):
    Job.objects.update(run_after=ServerTime())

    assert grab().handle == handle


def test_a_job_that_waits_for_its_time_is_not_grabbed(handle, dialect):
    Job.objects.update(run_after=ServerTime() + 60)

    assert grab() is None


def test_no_ability_finds_no_job(client, handle, dialect):
    assert client.find_job_for_workers([]) is None
    assert client.find_job_for_workers() is None


# A batch


@pytest.fixture
def lease(handle):
    """A lease of jobs of Add."""
    return Lease(grabbed_by="me:1:1", seconds={handle.job.funcid: 60})


def test_a_batch_is_grabbed_at_once(client, handle, lease, dialect):
    for _ in range(4):
        client.dispatch_async("Add")

    jobs = Job.objects.due().in_order(prioritize=True).grab(lease, limit=3)

    assert len(jobs) == 3
    assert Job.objects.grabbed().count() == 3
    assert Job.objects.due().count() == 2


def test_a_batch_is_of_the_jobs_that_come_first(client, handle, lease, dialect):
    for priority in (1, 3, 2, 4):
        client.dispatch_async("Add", priority=priority)

    jobs = Job.objects.due().in_order(prioritize=True).grab(lease, limit=3)

    assert sorted(job.priority for job in jobs) == [2, 3, 4]


def test_batches_grabbed_at_once_share_no_job(client, handle, lease, dialect):
    client.dispatch_jobs([Job(funcname="Add") for _ in range(19)])
    start = threading.Barrier(4, timeout=20)

    def grab_five():
        start.wait()
        jobs = Job.objects.due().in_order(prioritize=True).grab(lease, limit=5)
        return [job.jobid for job in jobs]

    batches = in_threads(*[grab_five] * 4)

    got = [jobid for batch in batches for jobid in batch]
    assert len(got) == len(set(got)) == Job.objects.grabbed().count()


def test_postgresql_waits_for_no_row_that_another_has_locked(two_databases):
    client = TheSchwartz(["postgresql"])
    locked, free = client.dispatch_async("Add"), client.dispatch_async("Add")

    def grab_impatiently():
        with connections["postgresql"].cursor() as cursor:
            cursor.execute("SET lock_timeout = 2000")
        return client.find_job_for_workers(["Add"])

    with transaction.atomic(using="postgresql"):
        Job.objects.using("postgresql").select_for_update().get(pk=locked.jobid)
        [job] = in_threads(grab_impatiently)

    assert job.handle == free
