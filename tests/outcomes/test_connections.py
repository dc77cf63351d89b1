"""Whatever a worker does to its connection, the outcome of its job is recorded."""

from functools import partial

import pytest
from django.db import DatabaseError, connections, transaction

from django_schwartz.models import Job
from django_schwartz.performance import StopNow
from tests.app.models import Trace
from tests.threads import in_threads
from tests.waiting import until

NO_VERDICT = "Job did not explicitly complete, fail, or get replaced"


def break_statement(database):
    """Send a statement that fails, and take no notice."""
    with pytest.raises(DatabaseError), connections[database].cursor() as cursor:
        cursor.execute("SELECT 1 FROM nowhere")


def is_usable_and_idle(database):
    """Whether the connection is as a worker's should be between two jobs."""
    connection = connections[database]
    return connection.get_autocommit() and not connection.in_atomic_block and Trace.objects.exists()


@pytest.fixture(autouse=True)
def _trace(database):
    Trace.objects.create(jobid=0, what="before")


def traces():
    return sorted(Trace.objects.values_list("what", flat=True))


# A transaction that is left open


def test_what_a_worker_left_uncommitted_is_rolled_back_before_its_failure_is_recorded(
    perform, database
):
    def work(job):
        transaction.set_autocommit(False, using=database)
        Trace.objects.create(jobid=job.jobid, what="uncommitted")
        raise RuntimeError("why")

    handle = perform(work)

    assert handle.failure_log == ["RuntimeError: why"]
    assert traces() == ["before"]
    assert is_usable_and_idle(database)


def test_a_verdict_that_a_worker_left_uncommitted_does_not_count(perform, database):
    def work(job):
        transaction.set_autocommit(False, using=database)
        Trace.objects.create(jobid=job.jobid, what="uncommitted")
        job.completed()

    handle = perform(work)

    assert handle.failure_log == [NO_VERDICT]
    assert handle.exit_status == 1
    assert traces() == ["before"]


def test_a_verdict_that_a_worker_committed_itself_counts(perform, database, told):
    def work(job):
        transaction.set_autocommit(False, using=database)
        Trace.objects.create(jobid=job.jobid, what="committed")
        job.completed()
        transaction.commit(using=database)
        transaction.set_autocommit(True, using=database)

    handle = perform(work)

    assert handle.exit_status == 0
    assert traces() == ["before", "committed"]
    assert [signal[0] for signal in told] == ["finished"]


def test_a_verdict_that_a_worker_rolled_back_itself_does_not_count(perform, database):
    def work(job):
        transaction.set_autocommit(False, using=database)
        Trace.objects.create(jobid=job.jobid, what="rolled back")
        job.completed()
        transaction.rollback(using=database)
        transaction.set_autocommit(True, using=database)

    handle = perform(work)

    assert handle.failure_log == [NO_VERDICT]


def test_a_function_that_was_new_in_what_was_left_uncommitted_is_made_again(
    client, perform, database
):
    def work(job):
        transaction.set_autocommit(False, using=database)
        client.dispatch_async("Brand new")
        job.completed()

    perform(work)

    assert client.dispatch_async("Brand new").job.funcname == "Brand new"


def test_a_transaction_that_was_broken_and_left_open_does_not_spoil_the_outcome(perform, database):
    def work(job):
        transaction.set_autocommit(False, using=database)
        break_statement(database)

    handle = perform(work)

    assert handle.failure_log == [NO_VERDICT]
    assert is_usable_and_idle(database)


@pytest.mark.parametrize(("verdict", "told"), [("completed", NO_VERDICT), ("failed", "")])
def test_a_block_that_was_never_left_is_rolled_back(perform, database, verdict, told):
    def work(job):
        transaction.atomic(using=database).__enter__()
        Trace.objects.create(jobid=job.jobid, what="uncommitted")
        getattr(job, verdict)()

    handle = perform(work)

    assert handle.failure_log == [told]
    assert handle.exit_status == 1
    assert traces() == ["before"]
    assert is_usable_and_idle(database)


def test_a_job_is_given_back_though_its_worker_was_stopped_in_a_transaction(perform, database):
    def work(job):
        transaction.set_autocommit(False, using=database)
        Trace.objects.create(jobid=job.jobid, what="uncommitted")
        raise StopNow

    with pytest.raises(StopNow):
        perform(work)

    assert not Job.objects.grabbed().exists()
    assert traces() == ["before"]
    assert is_usable_and_idle(database)


def test_a_statement_that_failed_in_a_block_is_a_failure_like_any_other(perform, database):
    def work(job):
        with transaction.atomic(using=database), connections[database].cursor() as cursor:
            cursor.execute("SELECT 1 FROM nowhere")

    handle = perform(work)

    assert "nowhere" in handle.failure_log[0]
    assert handle.exit_status == 1


# In somebody's transaction, as in a TestCase


@pytest.fixture
def in_atomic(database):
    """Do it all in a transaction that is rolled back in the end."""
    with transaction.atomic(using=database):
        yield
        transaction.set_rollback(True, using=database)


@pytest.mark.usefixtures("in_atomic")
def test_a_worker_that_breaks_a_transaction_that_is_not_its_own_has_failed(perform, database):
    def work(job):
        Trace.objects.create(jobid=job.jobid, what="within")
        break_statement(database)
        transaction.set_rollback(True, using=database)
        raise RuntimeError("why")

    handle = perform(work)

    assert handle.failure_log == ["RuntimeError: why"]
    assert not handle.is_pending
    assert traces() == ["before"]


@pytest.mark.usefixtures("in_atomic")
def test_a_verdict_before_the_transaction_was_broken_does_not_count(perform, database):
    def work(job):
        job.completed()
        break_statement(database)
        transaction.set_rollback(True, using=database)

    handle = perform(work)

    assert handle.failure_log == [NO_VERDICT]
    assert handle.exit_status == 1


@pytest.mark.usefixtures("in_atomic")
def test_a_retry_before_the_transaction_was_broken_does_not_count(perform, database):
    def work(job):
        job.failed("not counted")
        transaction.set_rollback(True, using=database)
        raise RuntimeError("why")

    handle = perform(work, max_retries=1)

    assert handle.failure_log == ["RuntimeError: why"]
    assert handle.job.grabbed_until is None


@pytest.mark.usefixtures("in_atomic")
def test_a_function_that_was_new_before_the_transaction_was_broken_is_made_again(
    client, perform, database
):
    def work(job):
        client.dispatch_async("Brand new")
        transaction.set_rollback(True, using=database)

    perform(work)

    assert client.dispatch_async("Brand new").job.funcname == "Brand new"


@pytest.mark.usefixtures("in_atomic")
def test_a_worker_may_ask_for_a_block_of_its_own_in_a_test_case(perform, database):
    connections[database].atomic_blocks[-1]._from_testcase = True

    def work(job):
        with transaction.atomic(using=database, durable=True):
            job.completed()

    handle = perform(work)

    assert handle.exit_status == 0


# The connection closed, or killed


def kill(database):
    """End the connection from outside: by the server's hand, where there is one."""
    driver = connections[database].connection
    if database == "sqlite":
        driver.close()
    else:
        end_session = {"postgresql": end_session_of_postgresql, "mysql": end_session_of_mysql}
        in_threads(partial(end_session[database], driver))


def end_session_of_postgresql(driver):
    with connections["postgresql"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])
        assert cursor.fetchone()[0]


def end_session_of_mysql(driver):
    def is_gone():
        with connections["mysql"].cursor() as cursor:
            sql = "SELECT 1 FROM information_schema.processlist WHERE id = %s"
            return not cursor.execute(sql, [driver.thread_id()])

    with connections["mysql"].cursor() as cursor:
        cursor.execute("KILL %s", [driver.thread_id()])
    until(is_gone)


def close(database):
    """Close the connection as Django does."""
    connections[database].close()


ENDINGS = [close, kill]


@pytest.mark.parametrize("end", ENDINGS)
def test_a_success_is_recorded_on_a_new_connection(perform, database, told, end):
    def work(job):
        end(database)
        job.completed()

    handle = perform(work)

    assert handle.exit_status == 0
    assert handle.failures == 0
    assert [signal[0] for signal in told] == ["finished"]


@pytest.mark.parametrize("end", ENDINGS)
def test_a_failure_is_recorded_on_a_new_connection(perform, database, end):
    def work(job):
        end(database)
        job.failed("why", 7)

    handle = perform(work)

    assert handle.failure_log == ["why"]
    assert handle.exit_status == 7


@pytest.mark.parametrize("end", ENDINGS)
def test_a_permanent_failure_is_recorded_on_a_new_connection(perform, database, end):
    def work(job):
        end(database)
        job.permanent_failure("why", 7)

    handle = perform(work)

    assert handle.failure_log == ["why"]
    assert handle.exit_status == 7


@pytest.mark.parametrize("end", ENDINGS)
def test_a_job_is_declined_on_a_new_connection(perform, database, end):
    def work(job):
        end(database)
        job.declined(1_900_000_000)

    handle = perform(work)

    assert handle.job.grabbed_until is None
    assert handle.job.run_after.timestamp() == 1_900_000_000


@pytest.mark.parametrize("end", ENDINGS)
def test_a_job_is_replaced_on_a_new_connection(perform, database, end):
    def work(job):
        end(database)
        job.replace_with(Job(funcname="Child"), Job(funcname="Brand new"))

    handle = perform(work)

    assert handle.exit_status == 0
    assert sorted(job.funcname for job in Job.objects.all()) == ["Brand new", "Child"]


@pytest.mark.parametrize("end", ENDINGS)
def test_an_exception_is_recorded_on_a_new_connection(perform, database, end):
    def work(job):
        end(database)
        raise RuntimeError("why")

    handle = perform(work)

    assert handle.failure_log == ["RuntimeError: why"]
    assert handle.exit_status == 1


@pytest.mark.parametrize("end", ENDINGS)
def test_silence_is_recorded_on_a_new_connection(perform, database, end):
    handle = perform(lambda job: end(database))

    assert handle.failure_log == [NO_VERDICT]


def test_an_error_of_the_killed_connection_is_a_failure_like_any_other(perform, database):
    def work(job):
        kill(database)
        Trace.objects.create(jobid=job.jobid, what="lost")

    handle = perform(work)

    assert handle.failures == 1
    assert handle.exit_status == 1
    assert traces() == ["before"]


def test_what_a_worker_wrote_in_a_block_that_was_killed_is_gone_and_it_has_failed(
    perform, database
):
    def work(job):
        with transaction.atomic(using=database):
            Trace.objects.create(jobid=job.jobid, what="lost")
            kill(database)
            Trace.objects.create(jobid=job.jobid, what="lost too")

    handle = perform(work)

    assert handle.failures == 1
    assert handle.exit_status == 1
    assert traces() == ["before"]


def test_a_verdict_in_a_block_that_was_killed_does_not_count(perform, database):
    def work(job):
        with transaction.atomic(using=database):
            job.completed()
            kill(database)

    handle = perform(work)

    assert handle.failures == 1
    assert handle.exit_status == 1


def test_a_success_stands_though_the_connection_is_killed_afterwards(perform, database):
    def work(job):
        job.completed()
        kill(database)

    handle = perform(work)
    close(database)

    assert handle.exit_status == 0
    assert handle.failures == 0


@pytest.mark.parametrize("end", ENDINGS)
def test_the_worker_goes_on_with_the_next_job(client, perform, database, end):
    perform(lambda job: end(database) or job.completed())
    handle = client.dispatch_async("Once")

    worked = client.work_once()

    assert worked is True
    assert handle.exit_status == 0
