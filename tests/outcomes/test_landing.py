"""The outcome always lands: what a database refuses to store is left out, never the outcome."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import DatabaseError, connections, transaction

from django_schwartz.models import Error, ExitStatus, Job
from tests.app.models import Trace
from tests.rows import row_of, rows

REFUSE = {
    "sqlite": """
        CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN NEW.{condition}
        BEGIN SELECT RAISE(ABORT, 'refused'); END
        """,
    "postgresql": "ALTER TABLE {table} ADD CONSTRAINT refuse CHECK (NOT ({condition}))",
    "mysql": "ALTER TABLE {table} ADD CONSTRAINT refuse CHECK (NOT ({condition}))",
}
ALLOW = {
    "sqlite": "DROP TRIGGER refuse",
    "postgresql": "ALTER TABLE {table} DROP CONSTRAINT refuse",
    "mysql": "ALTER TABLE {table} DROP CONSTRAINT refuse",
}


def execute(database, sql, **names):
    with connections[database].cursor() as cursor:
        cursor.execute(sql.format(**names))


@pytest.fixture
def refuse(database):
    """Have the database itself refuse rows of a table for which a condition is true."""
    refusing = []

    def refuse(table, condition):
        execute(database, REFUSE[database], table=table, condition=condition)
        refusing.append(table)

    yield refuse
    for table in refusing:
        execute(database, ALLOW[database], table=table)


REFUSED = {
    "sqlite": "The message could not be recorded (IntegrityError).",
    "postgresql": "The message could not be recorded (CheckViolation).",
    "mysql": "The message could not be recorded (IntegrityError).",
}


@pytest.fixture
def refuse_text(refuse):
    """Have the database refuse errors whose message begins with "unwanted"."""
    refuse("django_schwartz_error", "message LIKE 'unwanted%'")


def fail(job):
    job.failed("unwanted", 7)


def fail_for_good(job):
    job.permanent_failure("unwanted", 7)


@pytest.mark.parametrize("work", [fail, fail_for_good])
@pytest.mark.usefixtures("refuse_text")
def test_a_failure_whose_text_is_refused_is_recorded_without_it(perform, database, work):
    handle = perform(work)

    assert handle.failure_log == [REFUSED[database]]
    assert handle.exit_status == 7
    assert not handle.is_pending


@pytest.mark.usefixtures("refuse_text")
def test_a_retry_whose_text_is_refused_is_a_retry_all_the_same(perform, database):
    handle = perform(fail, max_retries=1, retry_delay=600)

    assert handle.failure_log == [REFUSED[database]]
    assert handle.job.grabbed_until is None
    assert Job.objects.delayed().count() == 1


def test_an_exception_whose_text_is_refused_keeps_its_class(perform, database, refuse):
    refuse("django_schwartz_error", "traceback IS NOT NULL")

    def work(job):
        raise LookupError("why")

    handle = perform(work)

    error = Error.objects.get(jobid=handle.jobid)
    assert error.message == REFUSED[database]
    assert error.exception == "builtins.LookupError"
    assert error.traceback is None


@pytest.mark.usefixtures("refuse_text")
def test_nothing_is_recorded_twice_when_the_text_is_refused(perform, told):
    handle = perform(fail)

    assert handle.failures == 1
    assert [signal[0] for signal in told] == ["finished"]


@pytest.mark.usefixtures("refuse_text")
def test_the_refusal_is_handled_in_somebodys_transaction_too(perform, database):
    with transaction.atomic(using=database):
        Trace.objects.create(jobid=1, what="before")
        handle = perform(fail)

    assert handle.failure_log == [REFUSED[database]]
    assert Trace.objects.count() == 1


def test_a_success_of_which_something_is_refused_is_a_success(perform, refuse):
    refuse("django_schwartz_exitstatus", "worker_id IS NOT NULL")

    handle = perform(lambda job: job.completed(), arg={"a": 1})

    kept = ExitStatus.objects.get(pk=handle.jobid)
    assert (kept.status, kept.arg, kept.worker_id) == (0, None, None)
    assert not handle.is_pending


def test_a_job_is_retried_though_its_worker_left_an_arg_that_cannot_be_stored(perform):
    def work(job):
        job.arg["connection"] = object()
        raise RuntimeError("interrupted")

    handle = perform(work, arg={"n": 1}, max_retries=1)

    assert handle.failures == 1
    assert handle.job.grabbed_until is None
    assert handle.job.arg == {"n": 1}


def test_a_job_is_retried_though_its_worker_left_a_priority_that_cannot_be_stored(perform):
    def work(job):
        job.priority = "urgent"
        raise RuntimeError("interrupted")

    handle = perform(work, max_retries=1)

    assert handle.failures == 1
    assert handle.job.grabbed_until is None
    assert handle.job.priority == 0


UNSTORABLE = [("priority", 99_999), ("coalesce", "c" * 999), ("started_at", "long ago")]


def test_a_failure_is_recorded_though_its_worker_left_no_name_of_a_holder(perform):
    def work(job):
        job.grabbed_by = "x\0" * 400
        raise RuntimeError("kept")

    handle = perform(work)

    error = Error.objects.get(jobid=handle.jobid)
    assert error.message == "RuntimeError: kept"
    assert error.worker_id == ("x\\x00" * 400)[:255]


@pytest.mark.parametrize(("name", "value"), UNSTORABLE, ids=["priority", "coalesce", "started_at"])
@pytest.mark.parametrize("max_retries", [1, 0], ids=["a retry", "for good"])
def test_a_failure_keeps_its_text_though_the_job_was_left_unstorable(
    perform, max_retries, name, value
):
    def work(job):
        setattr(job, name, value)
        raise RuntimeError("interrupted")

    handle = perform(work, max_retries=max_retries)

    error = Error.objects.get(jobid=handle.jobid)
    assert error.message == "RuntimeError: interrupted"
    assert error.traceback.endswith("RuntimeError: interrupted\n")
    assert handle.is_pending is bool(max_retries)


def test_a_failure_of_which_everything_is_refused_lands_all_the_same(perform, database, refuse):
    refuse("django_schwartz_error", "message LIKE 'unwanted%'")

    def work(job):
        job.arg = object()
        job.failed("unwanted")

    handle = perform(work, max_retries=1)

    assert handle.failure_log == [REFUSED[database]]
    assert handle.job.grabbed_until is None


@pytest.mark.parametrize("size", [2 * 2**20, 20 * 2**20], ids=["2 MiB", "20 MiB"])
def test_an_arg_that_grew_too_large_keeps_no_failure_from_landing(perform, size):
    def work(job):
        job.arg = "x" * size
        job.failed("why")

    handle = perform(work, max_retries=1)

    assert handle.failure_log == ["why"]
    assert handle.job.grabbed_until is None
    assert handle.job.arg != "x" * size


def test_a_replacement_that_is_refused_is_a_failure(client, perform, refuse):
    client.dispatch_async("Child")
    refuse("django_schwartz_job", "coalesce = 'unwanted'")

    handle = perform(
        lambda job: job.replace_with(
            Job(funcname="Child"), Job(funcname="Child", coalesce="unwanted")
        )
    )

    assert handle.exit_status == 1
    assert handle.failures == 1
    assert len(client.list_jobs("Child")) == 1


def test_an_outcome_that_is_refused_even_without_its_text_is_raised_and_nothing_written(
    job, refuse
):
    refuse("django_schwartz_error", "jobid > 0")
    before = rows()

    with pytest.raises(DatabaseError):
        job.failed("why")

    assert rows() == before
    assert job.did_something is False


# Refused as late as at the commit

DANGLE = {
    "sqlite": """
        CREATE TRIGGER dangle AFTER INSERT ON django_schwartz_job
        BEGIN UPDATE django_schwartz_job SET funcid = 999999 WHERE jobid = NEW.jobid; END
        """,
    "postgresql": """
        CREATE FUNCTION dangle() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN NEW.funcid = 999999; RETURN NEW; END';
        CREATE TRIGGER dangle BEFORE INSERT ON django_schwartz_job
        FOR EACH ROW EXECUTE FUNCTION dangle()
        """,
    "mysql": """
        CREATE TRIGGER dangle BEFORE INSERT ON django_schwartz_job
        FOR EACH ROW SET NEW.funcid = 999999
        """,
}
DROP_DANGLE = {
    "sqlite": "DROP TRIGGER dangle",
    "postgresql": "DROP FUNCTION dangle CASCADE",
    "mysql": "DROP TRIGGER dangle",
}


@contextmanager
def inserts_fail_at_commit(database):
    """Every new job gets a function that does not exist: MySQL finds out before the commit."""
    execute(database, DANGLE[database])
    try:
        yield
    finally:
        execute(database, DROP_DANGLE[database])


def test_a_replacement_whose_commit_fails_leaves_the_job_to_its_worker(job, database):
    before = rows()

    with inserts_fail_at_commit(database), pytest.raises(DatabaseError):
        job.replace_with(Job(funcname="Task"))

    assert rows() == before
    assert job.did_something is False
    assert job.failed("could not be replaced") is True


# Policies


def raising(error):
    def hook(self, *args):
        raise error

    return hook


def saying(value):
    def hook(self, *args):
        return value

    return hook


NONSENSE = [
    raising(RuntimeError("no policy")),
    raising(SystemExit(1)),
    raising(KeyboardInterrupt()),
    saying("nonsense"),
    saying(float("nan")),
    saying(timedelta(seconds=5)),
    saying(10**400),
    saying(1j),
    saying([]),
]
HOOKS = ["get_max_retries", "get_retry_delay", "get_keep_exit_status_for"]


@pytest.mark.parametrize("hook", NONSENSE)
@pytest.mark.parametrize("name", HOOKS)
def test_a_policy_that_cannot_be_had_keeps_no_failure_from_landing(perform, name, hook):
    handle = perform(lambda job: job.failed("why"), max_retries=1, **{name: hook})

    assert handle.failure_log == ["why"]
    assert not Job.objects.grabbed().exists()


@pytest.mark.parametrize("hook", NONSENSE)
def test_a_policy_that_cannot_be_had_keeps_no_exception_from_landing(perform, hook):
    def work(job):
        raise LookupError("why")

    handle = perform(work, max_retries=1, get_max_retries=hook)

    assert handle.failure_log == ["LookupError: why"]
    assert not Job.objects.grabbed().exists()


@pytest.mark.parametrize("hook", NONSENSE)
def test_a_policy_that_cannot_be_had_keeps_no_success_from_landing(perform, hook):
    handle = perform(lambda job: job.completed(), get_keep_exit_status_for=hook)

    assert not handle.is_pending
    assert handle.failures == 0


@pytest.mark.parametrize("value", ["many", None, float("nan"), object()])
@pytest.mark.parametrize("name", ["max_retries", "retry_delay", "keep_exit_status_for"])
def test_an_attribute_that_is_no_number_keeps_no_failure_from_landing(perform, name, value):
    handle = perform(lambda job: job.failed("why"), **{"max_retries": 1, name: value})

    assert handle.failure_log == ["why"]
    assert not Job.objects.grabbed().exists()


@pytest.mark.parametrize("delay", [float("inf"), 10**30, -(10**30), float("-inf")])
def test_a_delay_beyond_all_calendars_keeps_no_failure_from_landing(perform, delay):
    handle = perform(lambda job: job.failed("why"), max_retries=1, retry_delay=delay)

    assert handle.failures == 1
    assert row_of(handle)["grabbed_until"] is None


@pytest.mark.parametrize("keep_for", [float("inf"), 10**30])
def test_an_exit_status_that_is_to_be_kept_for_ever_is_kept(perform, keep_for):
    handle = perform(lambda job: job.completed(), keep_exit_status_for=keep_for)

    assert handle.exit_status == 0


def test_a_worker_that_cannot_say_whether_to_retry_has_its_job_retried(perform, caplog):
    def work(job):
        raise RuntimeError("no luck")

    handle = perform(work, max_retries=1, retry_on="nonsense")

    assert handle.is_pending
    assert handle.failure_log == ["RuntimeError: no luck"]
    assert "Once.may_retry() failed: it is retried" in caplog.text
