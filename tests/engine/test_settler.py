"""The settler: outcomes that wait are recorded together, each surely, and none holds up others."""

import copy
import pickle
import re
import threading
import time
from array import array

import pytest
from django.db import DataError, OperationalError, connections, transaction
from django.db.models import F

from django_schwartz import Worker, register
from django_schwartz.engine import SIZE, Ledger
from django_schwartz.engine.holds import Holds
from django_schwartz.engine.settler import Settler
from django_schwartz.models import Error, ExitStatus, Job, Verdict
from django_schwartz.signals import job_finished, lease_lost
from tests.rows import end_lease, lease_elsewhere
from tests.waiting import until

LEASE = 60


@pytest.fixture
def holds(database):
    return Holds(Ledger(array("q", [0] * SIZE), [database]))


@pytest.fixture
def settler(holds, database):
    return Settler(holds, database)


@pytest.fixture
def held(client, holds, settler, database):
    """Dispatch so many jobs, grab them, and hold them."""

    def hold(number):
        client.dispatch_jobs([Job(funcname="Held", arg=n) for n in range(number)])
        lease = client.lease(["Held"], database)
        jobs = Job.objects.due().in_order(prioritize=True).grab(lease, limit=number, look_at=number)
        for job in jobs:
            holds.add(job, LEASE, leased_at=time.monotonic(), grab_for=3600)
        return jobs

    return hold


@pytest.fixture
def hold_again(client, holds, database):
    """Grab the job that is due, and hold it."""

    def hold():
        [job] = Job.objects.due().grab(client.lease(["Held"], database))
        holds.add(job, LEASE, leased_at=time.monotonic(), grab_for=3600)
        return job

    return hold


@pytest.fixture
def settle(settler, database):
    """Record what waits, through this wrapper of executions; gives the statements sent."""

    def settle(wrapper=lambda execute, *statement: execute(*statement)):
        sent = []

        def count(execute, sql, params, many, context):
            sent.append(sql.split()[0])
            return wrapper(execute, sql, params, many, context)

        def run():
            connections[database].ensure_connection()  # which may send statements of its own
            with connections[database].execute_wrapper(count):
                settler._run()

        settler._thread = threading.Thread(target=run)
        settler.start()
        settler.stop()
        return [word for word in sent if word in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}]

    return settle


@pytest.fixture
def finished():
    """The jobs that job_finished told of, with their verdicts."""
    told = []

    def tell(*, job, outcome, **_):
        told.append((job, outcome.verdict))

    job_finished.connect(tell)
    yield told
    job_finished.disconnect(tell)


@pytest.fixture
def lost():
    """The jobs that lease_lost told of."""
    told = []

    def tell(*, job, **_):
        told.append(job)

    lease_lost.connect(tell)
    yield told
    lease_lost.disconnect(tell)


#: What records departures that keep no exit status, however many.
DEPARTURES = {"sqlite": ["DELETE"], "postgresql": ["WITH"], "mysql": ["SELECT", "DELETE"]}


@pytest.mark.parametrize("number", [2, 50])
def test_outcomes_that_wait_are_recorded_by_one_statement(held, settle, database, finished, number):
    jobs = held(number)
    for job in jobs:
        job.completed()

    words = settle()

    assert words == DEPARTURES[database]
    assert not Job.objects.exists()
    assert finished == [(job, Verdict.COMPLETED) for job in jobs]


def test_a_receiver_that_leaves_ends_no_settler(held, settle):
    def leave(**_):
        raise SystemExit(1)

    first, second = held(2)
    first.permanent_failure("alone, since it is told of")
    second.completed()
    job_finished.connect(leave)
    try:
        settle()
    finally:
        job_finished.disconnect(leave)

    assert not Job.objects.exists()


def test_exit_statuses_are_kept_by_the_same_statement_or_one_more(held, settle, database):
    @register
    class Held(Worker):
        keep_exit_status_for = 3600

    jobs = held(20)
    for job in jobs:
        job.completed()

    words = settle()

    assert words == (["WITH"] if database == "postgresql" else [*DEPARTURES[database], "INSERT"])
    assert ExitStatus.objects.filter(status=0).count() == 20


def test_failures_are_recorded_together_with_completions(held, settle, holds):
    first, second, third = held(3)
    first.completed()
    second.permanent_failure("no")
    third.completed()

    settle()

    assert not Job.objects.exists()
    assert [(error.jobid, error.message) for error in Error.objects.all()] == [(second.jobid, "no")]
    assert len(holds) == 0


def test_what_is_retried_is_recorded_too(held, settle, finished):
    @register
    class Held(Worker):
        max_retries = 1

    failed, completed = held(2)
    failed.failed("once")
    completed.completed()

    settle()

    assert [job.pk for job in Job.objects.due()] == [failed.pk]
    assert dict(finished) == {failed: Verdict.RETRY, completed: Verdict.COMPLETED}


def is_among(value, params):
    """Whether the number is one of the parameters, or in an array of one."""
    return any(str(value) in re.split(r"\D+", str(param)) for param in params)


def test_an_outcome_that_the_database_refuses_holds_up_no_other(held, settle, holds, caplog):
    jobs = held(5)
    bad = jobs[2]
    for job in jobs:
        job.completed()

    def refuse(execute, sql, params, many, context):
        if is_among(bad.jobid, params or ()) and not sql.startswith("SELECT"):
            raise DataError("refused")
        return execute(sql, params, many, context)

    settle(refuse)

    assert [job.pk for job in Job.objects.all()] == [bad.pk]
    assert f"the outcome of {bad.handle} could not be recorded" in caplog.text
    assert len(holds) == 0


def test_an_outcome_whose_lease_is_lost_is_told_of_and_the_others_recorded(
    held, settle, finished, lost
):
    jobs = held(3)
    lease_elsewhere(jobs[1].handle)
    for job in jobs:
        job.completed()

    settle()

    assert lost == [jobs[1]]
    assert [job for job, _ in finished] == [jobs[0], jobs[2]]
    assert [job.pk for job in Job.objects.all()] == [jobs[1].pk]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda job: pickle.loads(pickle.dumps(job))]
)
def test_of_a_job_and_a_copy_of_it_one_verdict_counts(held, settle, holds, finished, lost, copied):
    [job, _] = held(2)

    other = copied(job)
    other.completed()
    job.completed()
    settle()

    assert (other, other.arg) == (job, job.arg)
    assert finished == [(job, Verdict.COMPLETED)]
    assert lost == [job]
    assert len(holds) == 1


def test_a_pickle_is_not_held(held):
    [job] = held(1)

    other = pickle.loads(pickle.dumps(job))

    assert job.holder
    assert not other.holder
    assert not other.hold


def break_once(database, *, is_executed):
    """A wrapper: the first change is made, or not, and then the connection breaks."""
    broken = []

    def wrapper(execute, sql, params, many, context):
        is_change = sql.startswith(("DELETE", "WITH", "UPDATE")) and not broken
        result = execute(sql, params, many, context) if is_executed or not is_change else None
        if is_change:
            broken.append(sql)
            connections[database].connection.close()
            raise OperationalError("closed database")
        return result

    return wrapper


def test_of_two_attempts_at_one_job_the_holders_alone_is_recorded(
    held, hold_again, settle, finished, lost
):
    [lapsed] = held(1)
    end_lease(lapsed.handle)
    again = hold_again()
    lapsed.completed()
    again.completed()

    settle()

    assert [id(job) for job, _ in finished] == [id(again)]
    assert [id(job) for job in lost] == [id(lapsed)]
    assert not Job.objects.exists()


@pytest.mark.parametrize("is_executed", [False, True], ids=["statement lost", "reply lost"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_connection_lost_while_recording_loses_no_outcome_and_no_lease(
    held, settle, database, finished, lost, number, is_executed
):
    jobs = held(number)
    for job in jobs:
        job.completed()

    settle(break_once(database, is_executed=is_executed))

    assert not Job.objects.exists()
    assert [job for job, _ in finished] == jobs
    assert lost == []


def test_in_the_last_second_of_a_lease_another_may_hold_the_job_already(
    held, settle, database, holds, finished, lost
):
    [job] = held(1)
    job.hold.lease_ends -= LEASE - 0.5  # the database's clock counts whole seconds
    lease_elsewhere(job.handle)
    job.completed()

    settle(break_once(database, is_executed=False))

    assert lost == [job]
    assert finished == []


#: What a driver raises when its connection broke.
BROKEN = {"mysql": (2013, "Lost connection to server during query")}


def cut(connection):
    if connection.vendor != "mysql":
        connection.connection.close()
        return
    other = connection.copy()  # what the driver itself closed cannot be closed again
    with other.cursor() as cursor:
        cursor.execute("KILL %s", [connection.connection.thread_id()])
    other.close()


def lose_a_reply_to_commit(connection):
    """The next COMMIT is made, and then the connection breaks."""
    commit, broken = connection._commit, BROKEN.get(connection.vendor, ["closed database"])

    def lose():
        connection._commit = commit
        commit()
        cut(connection)
        raise OperationalError(*broken) from connection.Database.OperationalError(*broken)

    connection._commit = lose


@pytest.mark.parametrize("number", [1, 3])
def test_a_lost_reply_to_a_commit_is_no_lost_lease(
    held, settle, settler, database, finished, lost, number
):
    settler.call(lambda: lose_a_reply_to_commit(connections[database]))
    jobs = held(number)
    for job in jobs:
        job.permanent_failure("no")

    settle()

    assert lost == []
    assert [job for job, _ in finished] == jobs
    assert Error.objects.count() == number


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("keep_for", [0, 3600])
def test_a_renewal_that_commits_while_the_outcome_waits_for_its_lock_costs_no_lease(
    held, settler, lost, database, keep_for
):
    @register
    class Held(Worker):
        keep_exit_status_for = keep_for

    jobs = held(2)
    for job in jobs:
        job.completed()
    with transaction.atomic(using=database):
        jobs[0].as_read().update(grabbed_until=F("grabbed_until") + 5)
        jobs[0].begin_renewal(5)
        settler.start()
        until(is_anybody_waiting_for_a_lock)

    settler.stop()

    assert lost == []
    assert not Job.objects.exists()
    assert ExitStatus.objects.count() == (2 if keep_for else 0)


def is_anybody_waiting_for_a_lock():
    with connections["postgresql"].cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()


def test_a_job_without_a_verdict_is_not_kept_waiting_by_the_outcomes_of_others(held, database):
    completed, running = held(2)
    completed.completed()  # no settler runs that would record it

    with transaction.atomic(using=database):
        running.add_failure("once")
        assert running.failures == 1

    assert [error.message for error in Error.objects.all()] == ["once"]
    assert Job.objects.count() == 2


@pytest.mark.timeout(10)
def test_nobody_waits_for_a_settler_that_their_own_transaction_shuts_out(held, settler, database):
    [job] = held(1)
    job.completed()

    with transaction.atomic(using=database):  # on SQLite nobody else can write now
        settler.start()
        known = job.failures, job.failure_log

    settler.stop()
    assert known == (0, [])
    assert not Job.objects.exists()


@pytest.mark.timeout(10)
def test_what_is_said_after_the_verdict_is_recorded_after_it(held, settler):
    [job] = held(1)
    settler.start()

    job.completed()
    job.add_failure("and yet")

    assert not Job.objects.exists()
    assert [error.message for error in Error.objects.all()] == ["and yet"]
    settler.stop()


def test_what_is_called_comes_after_what_waits(held, settler, settle):
    [job] = held(1)
    job.completed()
    seen = []
    settler.call(lambda: seen.append(Job.objects.using(job.alias).count()))

    settle()

    assert seen == [0]
