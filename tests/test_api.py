"""What a client offers: dispatching jobs, their handles, looking jobs up. After t/api.t."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test.utils import isolate_apps

from django_schwartz import Worker
from django_schwartz.models import Job, JobHandle
from tests.app.models import Trace
from tests.rows import statements


@pytest.fixture
def handle(client):
    """The handle of a job that waits."""
    return client.dispatch_async("feedmajor", {"scoops": 2, "with": ["cheese", "love"]})


# Dispatch


def test_a_dispatch_gives_the_handle_of_a_pending_job(handle):
    assert isinstance(handle, JobHandle)
    assert handle.is_pending
    assert not handle.is_duplicate


def test_a_pending_job_has_no_exit_status_and_no_failures(handle):
    assert handle.exit_status is None
    assert handle.failures == 0
    assert handle.failure_log == []


def test_a_dispatched_job_is_in_the_queue_as_it_was_made(handle):
    job = handle.job

    assert isinstance(job, Job)
    assert job.funcname == "feedmajor"
    assert job.arg == {"scoops": 2, "with": ["cheese", "love"]}
    assert job.insert_time > datetime(2020, 1, 1, tzinfo=UTC)
    assert job.run_after == job.insert_time
    assert job.grabbed_until is None
    assert job.uniqkey is None
    assert job.coalesce is None


def test_a_job_knows_its_own_handle_once_it_is_dispatched(client):
    job = Job(funcname="feedmajor")

    handle = client.dispatch_async(job)

    assert job.handle == handle
    assert job.jobid == handle.jobid
    assert job.insert_time == handle.job.insert_time
    assert job.run_after == handle.job.run_after


def test_a_dispatch_takes_the_columns_of_a_job_as_keywords(client):
    handle = client.dispatch_async("feedmajor", "kibble", priority=7, coalesce="major", uniqkey="1")

    job = handle.job
    assert job.arg == "kibble"
    assert job.priority == 7
    assert job.coalesce == "major"
    assert job.uniqkey == "1"


def test_a_job_keeps_the_number_and_the_columns_that_it_was_given(client, dialect):
    handle = client.dispatch_async(
        Job(
            funcname="feedmajor",
            run_after=datetime(2100, 1, 2, tzinfo=UTC),
            priority=7,
            arg=["cheese", "love"],
            coalesce="major",
            uniqkey="rex",
            jobid=4711,
        )
    )

    job = handle.job
    assert job.jobid == handle.jobid == 4711
    assert job.run_after == datetime(2100, 1, 2, tzinfo=UTC)
    assert job.priority == 7
    assert job.arg == ["cheese", "love"]
    assert job.coalesce == "major"
    assert job.uniqkey == "rex"


@pytest.mark.parametrize(
    "run_after",
    [4_102_531_200, 4_102_531_199.5, datetime(2100, 1, 1, 23, 59, 59, 1, tzinfo=UTC)],
    ids=["seconds", "part of a second", "datetime"],
)
def test_no_job_is_due_before_the_moment_it_asked_for(client, run_after):
    handle = client.dispatch_async(Job(funcname="feedmajor", run_after=run_after))

    assert handle.job.run_after == datetime(2100, 1, 2, tzinfo=UTC)


def test_a_job_may_be_delayed_from_the_servers_now(client, dialect):
    handle = client.dispatch_async(Job(funcname="feedmajor", run_after=timedelta(hours=1)))

    job = handle.job
    assert timedelta(seconds=3600) <= job.run_after - job.insert_time <= timedelta(seconds=3601)


@pytest.mark.parametrize("run_after", [None, 0])
def test_a_job_without_a_time_is_due_at_once(client, run_after):
    handle = client.dispatch_async(Job(funcname="feedmajor", run_after=run_after))

    assert Job.objects.due().get().handle == handle


def test_a_job_without_a_priority_gets_0(client, dialect):
    client.dispatch_async("feedmajor")

    assert Job.objects.filter(priority=0).count() == 1


@pytest.mark.parametrize("arg", [None, "", "0", b"", b"\xff\x00"], ids=repr)
def test_no_arg_an_empty_one_and_bytes_stay_different(client, dialect, arg):
    handle = client.dispatch_async("feedmajor", arg)

    assert handle.job.arg == arg


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (Job(funcname="feedmajor", arg=object()), TypeError),
        (Job(funcname="feedmajor", arg={"when": datetime(2030, 1, 1, tzinfo=UTC)}), TypeError),
        (Job(funcname="feedmajor", arg=float("nan")), TypeError),
        (Job(funcname="feedmajor", arg="x" * 1_048_577), ValueError),
        (Job(funcname="feedmajor", uniqkey="k" * 256), ValueError),
        (Job(funcname="feedmajor", uniqkey="nul\0"), ValueError),
        (Job(funcname="feedmajor", uniqkey="half \ud800"), ValueError),
        (Job(funcname="feedmajor", coalesce=["a", "b"]), TypeError),
        (Job(funcname="feedmajor", priority="high"), TypeError),
        (Job(funcname="feedmajor", priority=40_000), ValueError),
        (Job(funcname="feedmajor", run_after=object()), TypeError),
        (Job(funcname="f" * 256), ValueError),
        (Job(arg="for nobody"), ValueError),
    ],
    ids=repr,
)
def test_a_job_that_cannot_be_stored_is_refused_to_its_sender(client, job, error):
    with pytest.raises(error):
        client.dispatch_async(job)

    assert Job.objects.count() == 0


def test_a_dispatch_takes_one_job(client):
    with pytest.raises(TypeError, match="dispatch_jobs"):
        client.dispatch_async(Job(funcname="feedmajor"), Job(funcname="feedmajor"))

    assert Job.objects.count() == 0


@pytest.mark.parametrize("what", [None, 7, ["feedmajor"], Worker], ids=repr)
def test_a_dispatch_takes_a_job_or_a_funcname(client, what):
    with pytest.raises(TypeError, match="takes a Job or a funcname"):
        client.dispatch_async(what)


@isolate_apps("tests.app")
def test_a_project_may_dispatch_its_own_kind_of_job(client):
    class Meal(Job):
        class Meta:
            app_label = "app"
            proxy = True

    client.dispatch_async(Meal(funcname="feedmajor", arg="kibble"))

    assert Job.objects.get().funcname == "feedmajor"
    assert Job.objects.get().arg == "kibble"


def test_a_job_dispatched_again_is_another_job(client, dialect):
    job = Job(funcname="feedmajor", arg="kibble")
    first = client.dispatch_async(job)

    second = client.dispatch_async(job)

    assert second != first
    assert [job.arg for job in Job.objects.all()] == ["kibble", "kibble"]


def test_a_job_whose_dispatch_was_rolled_back_can_be_dispatched_again(client, dialect, database):
    job = Job(funcname="feedmajor", arg="kibble")
    with transaction.atomic(using=database):
        client.dispatch_async(job)
        transaction.set_rollback(True, using=database)

    handle = client.dispatch_async(job)

    assert handle.job.arg == "kibble"
    assert Job.objects.count() == 1


def test_many_jobs_get_a_handle_each_in_their_order(client, dialect):
    handles = client.dispatch_jobs(
        [Job(funcname="feedmajor", arg="first"), Job(funcname="feeddog", arg="second")]
    )

    assert [handle.job.arg for handle in handles] == ["first", "second"]
    assert [handle.job.funcname for handle in handles] == ["feedmajor", "feeddog"]


def test_no_jobs_get_no_handles(client):
    handles = client.dispatch_jobs([])

    assert handles == []


def test_more_jobs_than_one_statement_holds_are_all_dispatched(client):
    handles = client.dispatch_jobs(Job(funcname="feedmajor", arg=n) for n in range(1001))

    assert len({handle.jobid for handle in handles}) == 1001
    assert handles[1000].job.arg == 1000
    assert Job.objects.count() == 1001


def test_many_jobs_are_dispatched_whole_or_not_at_all(client, dialect):
    taken = client.dispatch_async("feedmajor", "there before")
    jobs = [Job(funcname="feedmajor"), Job(funcname="feedmajor", jobid=taken.jobid)]

    with pytest.raises(IntegrityError):
        client.dispatch_jobs(jobs)

    assert Job.objects.get().arg == "there before"


def test_one_of_many_jobs_that_cannot_be_stored_keeps_all_from_the_queue(client):
    jobs = [Job(funcname="feedmajor"), Job(funcname="feedmajor", arg=object())]

    with pytest.raises(TypeError):
        client.dispatch_jobs(jobs)

    assert Job.objects.count() == 0


def test_two_of_many_jobs_with_one_uniqkey_are_one_job(client, dialect):
    first, second = client.dispatch_jobs(
        [Job(funcname="feedmajor", uniqkey="u1"), Job(funcname="feedmajor", uniqkey="u1")]
    )

    assert first == second
    assert not first.is_duplicate
    assert second.is_duplicate
    assert Job.objects.count() == 1


# A number that is taken is no duplicate of a uniqkey


@pytest.mark.parametrize("uniqkey", [None, "another"])
def test_a_jobid_that_is_taken_is_an_error(client, dialect, uniqkey):
    taken = client.dispatch_async(Job(funcname="feedmajor", uniqkey="one"))

    with pytest.raises(IntegrityError):
        client.dispatch_async(Job(funcname="feedmajor", uniqkey=uniqkey, jobid=taken.jobid))

    assert Job.objects.get().uniqkey == "one"


def test_a_jobid_that_is_taken_leaves_the_callers_transaction_usable(client, dialect, database):
    taken = client.dispatch_async("feedmajor")

    with transaction.atomic(using=database):
        with pytest.raises(IntegrityError), transaction.atomic(using=database):
            client.dispatch_async(Job(funcname="feedmajor", jobid=taken.jobid))
        client.dispatch_async("feeddog")

    assert Job.objects.count() == 2


def test_a_number_given_away_before_its_turn_makes_no_dispatch_vanish(client, dialect):
    first = client.dispatch_async("feedmajor")
    client.dispatch_async(Job(funcname="feedmajor", uniqkey="a", jobid=first.jobid + 1))

    acknowledged = 0
    for key in ["b", "c", "d"]:
        try:
            client.dispatch_async(Job(funcname="feedmajor", uniqkey=key))
        except IntegrityError:  # PostgreSQL's sequence does not know of the number
            continue
        acknowledged += 1

    assert Job.objects.count() == 2 + acknowledged
    assert acknowledged >= 2


# Statements


def test_a_dispatch_is_one_statement(client, database):
    client.dispatch_async("feedmajor")

    with statements(database) as sent:
        client.dispatch_async("feedmajor", {"scoops": 2})

    assert sent == ["INSERT"]


def test_a_few_jobs_are_one_statement_in_one_transaction(client, database):
    client.dispatch_async("feedmajor")

    with statements(database) as sent:
        client.dispatch_jobs([Job(funcname="feedmajor", arg=n) for n in range(10)])

    assert sent == ["BEGIN", "INSERT", "COMMIT"]


# The caller's transaction


def test_a_dispatch_is_part_of_the_callers_transaction(client, database):
    with transaction.atomic(using=database):
        Trace.objects.create(jobid=0, what="the caller's own row")
        handle = client.dispatch_async("feedmajor")
        transaction.set_rollback(True, using=database)

    assert not handle.is_pending
    assert Trace.objects.count() == 0


def test_on_commit_dispatches_after_the_commit(client, database):
    with transaction.atomic(using=database):
        promised = client.dispatch_async("feedmajor", on_commit=True)
        jobs_before_the_commit = Job.objects.count()

    assert promised is None
    assert jobs_before_the_commit == 0
    assert Job.objects.count() == 1


def test_on_commit_dispatches_nothing_after_a_rollback(client, database):
    with transaction.atomic(using=database):
        client.dispatch_async("feedmajor", on_commit=True)
        transaction.set_rollback(True, using=database)

    assert Job.objects.count() == 0
