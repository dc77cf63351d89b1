"""Many jobs in one dispatch: from iterators of any length, by the thousand, all or none."""

import tracemalloc
from datetime import timedelta

import pytest
from django.db import Error as AnyDatabaseError
from django.db import IntegrityError, connections
from django.db.models.signals import post_init

from django_schwartz.client import TheSchwartz
from django_schwartz.models import FuncMap, Job
from django_schwartz.signals import job_dispatched


def jobs(number, **fields):
    return (Job(funcname="Note", arg=n, **fields) for n in range(number))


def test_an_iterator_is_dispatched_whole(client):
    handles = client.dispatch_jobs(jobs(2500))

    assert [handle.jobid for handle in handles] == sorted(handle.jobid for handle in handles)
    assert Job.objects.count() == len(set(handles)) == 2500


def test_an_iterator_is_read_by_the_thousand_and_its_progress_told(client):
    read, told = [], []

    def all_of_them():
        for job in jobs(2500):
            read.append(job.arg)
            yield job

    client.dispatch_jobs(all_of_them(), on_progress=lambda number: told.append((number, len(read))))

    assert told == [(1000, 1000), (2000, 2000), (2500, 2500)]


def test_an_iterator_that_fails_leaves_nothing_in_the_queue(client):
    def too_few():
        yield from jobs(1500)
        raise LookupError("no more")

    with pytest.raises(LookupError):
        client.dispatch_jobs(too_few())

    assert Job.objects.count() == 0


@pytest.mark.parametrize("uniqkeys", [[None] * 2, [None] * 20, [None, *range(20)]], ids=len)
def test_every_column_is_written(client, uniqkeys):
    handle, *_ = client.dispatch_jobs(
        [
            Job(
                funcname="Note",
                arg={"tab\t": "new\nline \\ 'quote' \u20ac"},
                uniqkey=uniqkey,
                coalesce="a\tb\\\r\n",
                priority=-3,
                queue_name="slow",
                meta={"a": ["b\n"]},
                run_after=timedelta(hours=1),
            )
            for uniqkey in uniqkeys
        ]
    )

    job = handle.job
    assert job.arg == {"tab\t": "new\nline \\ 'quote' \u20ac"}
    assert (job.coalesce, job.priority, job.queue_name) == ("a\tb\\\r\n", -3, "slow")
    assert job.meta == {"a": ["b\n"]}
    assert job.scheduled_for - job.dispatched_at == timedelta(hours=1)
    assert timedelta(0) <= job.run_after - job.scheduled_for < timedelta(seconds=1)


def test_many_alike_are_written_as_one_alone(client):
    alone = client.dispatch_async("Note", b"raw \\x00\0").job
    one, *_ = client.dispatch_jobs([Job(funcname="Note", arg=b"raw \\x00\0") for _ in range(20)])

    for name in ("arg", "uniqkey", "coalesce", "priority", "queue_name", "meta", "scheduled_for"):
        assert getattr(one.job, name) == getattr(alone, name)
    assert one.job.grabbed_until == alone.grabbed_until is None


@pytest.mark.parametrize("number", [2, 20])
def test_jobs_that_are_refused_are_as_they_were(client, number):
    taken = client.dispatch_async("Note").jobid
    refused = [
        Job(funcname="Note", jobid=taken, run_after=timedelta(hours=1)) for _ in range(number)
    ]
    before = list(map(without_state, refused))

    with pytest.raises(IntegrityError):
        client.dispatch_jobs(refused)

    assert list(map(without_state, refused)) == before
    assert {(job.handle, job._state.db, job._state.adding) for job in refused} == {
        (None, None, True)
    }


@pytest.mark.only_on("postgresql")
def test_large_args_are_not_put_together(client):
    large = [Job(funcname="Note", arg=b"x" * 500_000) for _ in range(30)]

    tracemalloc.start()
    try:
        client.dispatch_jobs(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10_000_000


def test_an_empty_uniqkey_is_one_too(client):
    handles = client.dispatch_jobs(Job(funcname="Note", uniqkey="") for _ in range(20))

    assert [handle.is_duplicate for handle in handles] == [False, *[True] * 19]


def test_duplicates_of_jobs_queued_and_of_jobs_just_given_are_told_from_new_ones(client):
    queued = client.dispatch_async("Note", uniqkey="1")

    handles = client.dispatch_jobs(
        Job(funcname="Note", uniqkey=uniqkey)
        for uniqkey in ["0", "1", "2", "0", None, *range(3, 20)]
    )

    told = [handle.is_duplicate for handle in handles]
    assert told == [False, True, False, True, False, *[False] * 17]
    assert handles[1] == queued
    assert handles[3] == handles[0]


def test_jobs_of_many_functions_go_in_one_dispatch(client, database):
    handles = client.dispatch_jobs(Job(funcname=f"Note {n % 3}") for n in range(30))

    assert [handle.job.funcname for handle in handles] == [f"Note {n % 3}" for n in range(30)]
    assert FuncMap.objects.using(database).filter(funcname__startswith="Note ").count() == 3


def test_a_receiver_is_told_of_each(client):
    told = []

    def hear(job, **_):
        told.append(job.jobid)

    job_dispatched.connect(hear)
    try:
        handles = client.dispatch_jobs(jobs(3))
    finally:
        job_dispatched.disconnect(hear)

    assert told == [handle.jobid for handle in handles]


def test_an_iterator_goes_to_another_database_when_the_first_is_dead(
    database, dead_database, caplog
):
    client = TheSchwartz([dead_database, database])
    client.databases._shuffle = lambda order: None

    handles = client.dispatch_jobs(jobs(1500))

    assert {handle.alias for handle in handles} == {database}


@pytest.mark.only_on("postgresql")
def test_an_iterator_that_was_begun_is_not_begun_again_when_its_database_dies(
    client, database, add_database
):
    client = TheSchwartz([database, add_database("other")])
    asked = []

    def die(number):
        asked.append(number)
        if number > 1000:
            with connections[client.databases.in_transaction()].cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(AnyDatabaseError):
        client.dispatch_jobs(jobs(3000), on_progress=die)

    assert asked == [1000, 2000]
    assert Job.objects.count() == 0


# A job made quickly is as Django makes it


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"funcname": "Note", "arg": {"a": 1}, "uniqkey": "7", "priority": 3},
        {"funcname": "Note", "run_after": timedelta(hours=1), "meta": {}},
        {"jobid": 7, "func_id": 3, "arg": b"1"},
        {"funcid": 3},
        {"pk": 7},
    ],
    ids=str,
)
def test_a_job_made_quickly_is_as_django_makes_it(fields):
    def hear(**_):
        """Have Django's own constructor work."""

    quick = Job(**fields)
    post_init.connect(hear, sender=Job)
    try:
        slow = Job(**fields)
    finally:
        post_init.disconnect(hear, sender=Job)

    assert without_state(quick) == without_state(slow)
    assert (quick._state.db, quick._state.adding) == (slow._state.db, slow._state.adding)


def without_state(job):
    return {name: value for name, value in vars(job).items() if name != "_state"}


def test_a_keyword_that_is_no_column_is_refused():
    with pytest.raises(TypeError, match="colour"):
        Job(funcname="Note", colour="red")


@pytest.mark.parametrize("what", ["Mail", None, {"funcname": "Mail"}], ids=str)
@pytest.mark.parametrize("before", [0, 1500])
def test_what_is_no_job_is_refused_and_nothing_is_queued(client, what, before):
    jobs = [*(Job(funcname="Mail") for _ in range(before)), what]

    with pytest.raises(TypeError, match="takes Jobs"):
        client.dispatch_jobs(iter(jobs))

    assert not Job.objects.exists()


@pytest.mark.parametrize("kind", [list, iter])
def test_one_and_the_same_job_is_not_dispatched_twice(client, kind):
    job = Job(funcname="Twice")

    with pytest.raises(ValueError, match="there twice"):
        client.dispatch_jobs(kind([job, job]))

    assert not Job.objects.exists()


def test_nor_is_one_that_is_there_again_after_a_thousand_others(client):
    job, others = Job(funcname="Add"), [Job(funcname="Add") for _ in range(1000)]

    with pytest.raises(ValueError, match="there twice"):
        client.dispatch_jobs([job, *others, job])

    assert not Job.objects.exists()
