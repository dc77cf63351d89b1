"""What a purge takes and what it leaves, to the row. When it is done is in test_cleanup.py."""

import pytest
from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from django_schwartz.retention import purge
from django_schwartz.runner import Runner

A_WEEK = 604_800
#: A jobid that no job has.
GONE = 4_000_000_000


@pytest.fixture
def funcid(database):
    """The number of a function that no worker is registered for."""
    return FuncMap.objects.get_or_make("Unheard", using=database).funcid


@pytest.fixture
def errors(funcid):
    """Store errors of such an age, in seconds, of a job that is gone or of the given one."""

    def store(*ages, jobid=GONE, funcid=funcid):
        Error.objects.bulk_create(
            [
                Error(jobid=jobid, func_id=funcid, message=age, error_time=ServerTime() - age)
                for age in ages
            ]
        )

    return store


def ages():
    """The ages of the errors that are left."""
    return sorted(map(int, Error.objects.values_list("message", flat=True)))


def statuses(funcid, number, *, delete_after):
    """Store that many exit statuses."""
    ExitStatus.objects.bulk_create(
        [
            ExitStatus(
                jobid=GONE + n,
                func_id=funcid,
                status=0,
                completion_time=1,
                delete_after=delete_after,
            )
            for n in range(number)
        ]
    )


# Exit statuses


@pytest.mark.parametrize(
    ("delete_after", "left"),
    [(None, 1), (0, 1), (1, 0), (ServerTime() - 1, 0), (ServerTime() + 60, 1)],
    ids=["NULL", "0", "1970", "a second ago", "in a minute"],
)
def test_an_exit_status_goes_after_its_time_and_never_if_it_has_none(
    database, funcid, delete_after, left
):
    statuses(funcid, 1, delete_after=delete_after)

    purge(database)

    assert ExitStatus.objects.count() == left


def test_exit_statuses_go_a_thousand_at_a_time(database, funcid):
    statuses(funcid, 1001, delete_after=1)

    purged = [purge(database) for _ in range(3)]

    assert purged == [1000, 1, 0]


# Errors


def test_errors_of_a_job_that_is_gone_are_kept_for_a_week(database, errors):
    errors(0, A_WEEK - 60, A_WEEK + 1, 10 * A_WEEK)

    purge(database)

    assert ages() == [0, A_WEEK - 60]


def test_errors_go_a_thousand_at_a_time(database, errors):
    errors(*range(A_WEEK + 1, A_WEEK + 1002))

    purged = [purge(database) for _ in range(3)]

    assert purged == [1000, 1, 0]


@pytest.mark.parametrize("state", ["waiting", "grabbed", "delayed"])
def test_errors_of_a_queued_job_are_kept_for_ever(client, database, errors, state):
    handle = client.dispatch_async("Unheard", run_after=4e9 if state == "delayed" else None)
    if state == "grabbed":
        client.find_job_for_workers(["Unheard"])
    errors(100 * A_WEEK, jobid=handle.jobid)

    purge(database)

    assert handle.failures == 1


def test_errors_of_a_queued_job_go_after_it_has_left(client, database, errors):
    handle = client.dispatch_async("Unheard")
    errors(100 * A_WEEK, jobid=handle.jobid)
    handle.job.completed()

    purge(database)

    assert handle.failures == 0


def test_many_errors_of_queued_jobs_do_not_keep_others_from_going(client, database, errors):
    handle = client.dispatch_async("Unheard")
    errors(*[100 * A_WEEK] * 1500, jobid=handle.jobid)
    errors(A_WEEK + 1)

    purge(database)

    assert handle.failures == 1500
    assert Error.objects.count() == 1500


def worker(name, seconds):
    register(type(name, (Worker,), {"keep_errors_for": seconds}))


@pytest.mark.parametrize(
    ("seconds", "left"),
    [(0, []), (60, [30]), (0.5, []), (10 * A_WEEK, [30, 90, A_WEEK + 1])],
    ids=str,
)
def test_a_worker_says_how_long_its_errors_are_kept(database, errors, seconds, left):
    worker("Unheard", seconds)
    errors(30, 90, A_WEEK + 1)

    purge(database)

    assert ages() == left


def test_a_worker_says_it_for_its_own_errors_alone(database, errors, funcid):
    worker("Shy", 60)
    worker("Archivist", 10 * A_WEEK)
    shy = FuncMap.objects.get_or_make("Shy", using=database).funcid
    archivist = FuncMap.objects.get_or_make("Archivist", using=database).funcid
    for of in (shy, archivist, funcid):
        errors(90 + of, A_WEEK + 90 + of, funcid=of)

    purge(database)

    assert ages() == sorted([90 + archivist, A_WEEK + 90 + archivist, 90 + funcid])


@pytest.mark.parametrize("nobodys", [0, 999_999], ids=["Perl's default", "dangling"])
def test_errors_without_a_function_are_kept_for_a_week(database, errors, nobodys):
    errors(30, A_WEEK + 1)
    with connections[database].cursor() as cursor:  # Django gives no 0 to MySQL
        cursor.execute("UPDATE django_schwartz_error SET funcid = %s", [nobodys])

    purge(database)

    assert ages() == [30]


def test_nothing_else_is_touched(client, database, errors):
    worker("Unheard", 0)
    handle = client.dispatch_async("Unheard", run_after=1)
    errors(A_WEEK + 1)

    purge(database)

    assert handle.is_pending
    assert FuncMap.objects.filter(funcname="Unheard").exists()


def test_each_database_is_purged_by_itself(two_databases):
    for alias in two_databases:
        func = FuncMap.objects.using(alias).create(funcname="Old")
        Error.objects.using(alias).create(jobid=GONE, func_id=func.pk, message="old", error_time=1)

    purged = purge("sqlite")

    assert purged == 1
    assert [Error.objects.using(alias).count() for alias in two_databases] == [0, 1]


def test_what_is_queued_in_one_database_keeps_no_errors_in_another(two_databases):
    func = FuncMap.objects.using("postgresql").create(funcname="Old")
    Error.objects.using("postgresql").create(jobid=7, func_id=func.pk, message="old", error_time=1)
    here = FuncMap.objects.using("sqlite").create(funcname="Old")
    Job.objects.using("sqlite").create(jobid=7, func_id=here.pk, run_after=1)

    assert purge("postgresql") == 1


# Keeping up


def test_a_runner_purges_all_that_is_due_however_much_it_is(client, funcid, errors):
    statuses(funcid, 2500, delete_after=1)
    errors(*[A_WEEK + 1] * 1500)

    Runner(client, delay=0, until_done=True).run()

    assert ExitStatus.objects.count() == 0
    assert Error.objects.count() == 0


def test_a_runner_that_is_told_to_stop_purges_no_further(client, database, funcid):
    statuses(funcid, 2500, delete_after=1)
    runner = Runner(client, delay=0)

    def stop_at_the_first_delete(execute, sql, params, many, context):
        if sql.startswith("DELETE"):
            runner.stop()
        return execute(sql, params, many, context)

    with connections[database].execute_wrapper(stop_at_the_first_delete):
        runner.run()

    assert ExitStatus.objects.count() == 1500
