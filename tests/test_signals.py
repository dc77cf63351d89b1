"""The signals: when each is sent, how often and with what; and the log, which nobody can forge.

Those about databases are in test_databases.py.
"""

import logging

import pytest
from django.db import OperationalError, connections, transaction
from django.test.utils import isolate_apps

from django_schwartz import Worker, register, signals
from django_schwartz.databases import Databases
from django_schwartz.models import Job, Verdict
from django_schwartz.signals import printable
from django_schwartz.worker import registry
from tests.rows import end_lease, lease_elsewhere, row_of

SIGNALS = [
    "job_dispatched",
    "job_grabbed",
    "job_finished",
    "lease_lost",
    "database_died",
    "database_revived",
]


class Recorder:
    """Notes each sending of a signal: its sender and its arguments."""

    def __init__(self):
        self.sent = []

    def __call__(self, sender, signal, **arguments):
        self.sent.append((sender, arguments))

    @property
    def jobs(self):
        return [arguments["job"] for _, arguments in self.sent]


@pytest.fixture
def recorded():
    """A recorder for each signal, by its name."""
    recorders = {name: Recorder() for name in SIGNALS}
    for name, recorder in recorders.items():
        getattr(signals, name).connect(recorder)
    yield recorders
    for name, recorder in recorders.items():
        getattr(signals, name).disconnect(recorder)


def counts(recorded):
    """How often each signal was sent, if at all."""
    return {name: len(recorder.sent) for name, recorder in recorded.items() if recorder.sent}


class Try(Worker):
    max_retries = 1
    keep_exit_status_for = 60

    def work(self, job):
        getattr(job, job.arg)()


@pytest.fixture(autouse=True)
def _workers():
    register(Try)


@pytest.fixture
def job(client):
    """A job that this process holds."""
    client.dispatch_async("Try", "completed")
    return client.find_job_for_workers(["Try"])


@pytest.fixture
def of_jobs():
    """A recorder for each signal of a job's, which hears of what its sender is, and is Job."""
    recorders = {name: Recorder() for name in ("job_dispatched", "job_grabbed", "job_finished")}
    for name, recorder in recorders.items():
        getattr(signals, name).connect(recorder, sender=Job)
    yield recorders
    for name, recorder in recorders.items():
        getattr(signals, name).disconnect(recorder, sender=Job)


def test_who_wants_to_hear_of_jobs_alone_hears_of_each(client, of_jobs):
    client.dispatch_async("Try", "completed")

    client.find_job_for_workers(["Try"]).completed()

    assert counts(of_jobs) == {"job_dispatched": 1, "job_grabbed": 1, "job_finished": 1}


# job_dispatched


def test_a_dispatch_is_told_once_with_the_stored_job(client, dialect, recorded):
    handle = client.dispatch_async("Try", {"a": 1})

    assert counts(recorded) == {"job_dispatched": 1}
    [(sender, arguments)] = recorded["job_dispatched"].sent
    assert sender is Job
    assert list(arguments) == ["job"]
    assert arguments["job"].handle == handle
    assert arguments["job"].arg == {"a": 1}


def test_each_of_many_jobs_is_told_of(client, recorded):
    handles = client.dispatch_jobs([Job(funcname="Try", arg=n) for n in range(3)])

    assert [job.handle for job in recorded["job_dispatched"].jobs] == handles


@isolate_apps("django_schwartz")
def test_a_receiver_of_some_jobs_is_told_of_them_behind_others(client):
    class Urgent(Job):
        class Meta:
            proxy = True
            app_label = "django_schwartz"

    told = []

    def hear(job, **_):
        told.append(job.arg)

    signals.job_dispatched.connect(hear, sender=Urgent)
    try:
        client.dispatch_jobs([Job(funcname="Try", arg=1), Urgent(funcname="Try", arg=2)])
    finally:
        signals.job_dispatched.disconnect(hear, sender=Urgent)

    assert told == [2]


def test_a_duplicate_is_not_told_of(client, dialect, recorded):
    client.dispatch_async("Try", uniqkey="7")

    client.dispatch_async("Try", uniqkey="7")

    assert counts(recorded) == {"job_dispatched": 1}


def test_a_job_that_cannot_be_stored_is_not_told_of(client, recorded):
    with pytest.raises(TypeError):
        client.dispatch_jobs([Job(funcname="Try"), Job(funcname="Try", arg=object())])

    assert counts(recorded) == {}


def test_a_dispatch_on_commit_is_told_of_when_it_is_done(client, database, recorded):
    with transaction.atomic(using=database):
        client.dispatch_async("Try", on_commit=True)
        before = counts(recorded)

    assert before == {}
    assert counts(recorded) == {"job_dispatched": 1}


# job_grabbed


def test_a_grab_is_told_once_with_the_job_as_its_holder_has_it(client, dialect, recorded):
    handle = client.dispatch_async("Try")
    recorded["job_dispatched"].sent.clear()

    job = client.find_job_for_workers(["Try"])

    assert counts(recorded) == {"job_grabbed": 1}
    [(sender, arguments)] = recorded["job_grabbed"].sent
    assert sender is Job
    assert list(arguments) == ["job"]
    assert arguments["job"] is job
    assert job.handle == handle
    assert job.grabs == 1


def test_finding_nothing_is_not_told_of(client, dialect, recorded):
    client.find_job_for_workers(["Try"])

    assert counts(recorded) == {}


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_a_lost_race_is_not_told_of(client, dialect, monkeypatch, recorded):
    handle = client.dispatch_async("Try")
    monkeypatch.setattr(dialect, "after_select", lambda: lease_elsewhere(handle))

    client.find_job_for_workers(["Try"])

    assert counts(recorded) == {"job_dispatched": 1}


# job_finished

VERDICTS = {
    "completed": (lambda job: job.completed(), "completed", 0),
    "replace_with": (lambda job: job.replace_with(), "replaced", 0),
    "failed": (lambda job: job.failed("no"), "failed, to be retried", None),
    "permanent_failure": (lambda job: job.permanent_failure("no", 3), "failed for good", 3),
    "declined": (lambda job: job.declined(4_000_000_000), "declined", None),
    "give_back": (lambda job: job.give_back(), "given back", None),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_is_told_once_with_the_outcome(job, recorded, verdict):
    give, told, exit_status = VERDICTS[verdict]

    give(job)

    assert counts(recorded) == {"job_finished": 1}
    [(sender, arguments)] = recorded["job_finished"].sent
    assert sender is Job
    assert set(arguments) == {"job", "outcome", "runtime"}
    assert arguments["job"] is job
    assert arguments["outcome"].verdict is Verdict(told)
    assert arguments["outcome"].exit_status == exit_status
    assert arguments["runtime"] is None


def test_the_outcome_of_a_failure_has_its_message(job, recorded):
    job.failed("no such address")

    [(_, arguments)] = recorded["job_finished"].sent
    assert arguments["outcome"].message == "no such address"
    assert arguments["outcome"].failure.exception is None


def test_the_outcome_of_an_exception_has_its_class(job, recorded):
    job.permanent_failure(ValueError("no such address"))

    [(_, arguments)] = recorded["job_finished"].sent
    assert arguments["outcome"].message == "ValueError: no such address"
    assert arguments["outcome"].failure.exception == "builtins.ValueError"


def test_the_seconds_are_told_that_a_worker_took(client, recorded):
    client.dispatch_async("Try", "completed")
    client.can_do("Try")

    client.work_once()

    [(_, arguments)] = recorded["job_finished"].sent
    assert 0 <= arguments["runtime"] < 10


def test_the_job_is_out_of_the_queue_when_that_is_told(client, job):
    seen = []

    def look(*, job, **_):
        seen.append((job.handle.is_pending, job.handle.exit_status))

    signals.job_finished.connect(look)
    try:
        job.completed()
    finally:
        signals.job_finished.disconnect(look)

    assert seen == [(False, 0)]


def test_a_second_verdict_is_not_told_of(job, recorded):
    job.completed()

    job.failed("no")

    assert counts(recorded) == {"job_finished": 1}


def test_declining_without_a_time_is_not_told_of(job, recorded):
    job.declined()

    assert counts(recorded) == {}


def test_an_error_that_is_only_added_is_not_told_of(job, recorded):
    job.add_failure("a warning")

    assert counts(recorded) == {}


def test_a_job_that_its_worker_left_without_a_word_is_told_of_as_failed(client, recorded):
    @register
    class Silent(Worker):
        def work(self, job):
            pass

    client.dispatch_async("Silent")
    client.can_do("Silent")

    client.work_once()

    [(_, arguments)] = recorded["job_finished"].sent
    assert arguments["outcome"].verdict is Verdict.FAILED
    assert arguments["outcome"].message == (
        "Job did not explicitly complete, fail, or get replaced"
    )


# lease_lost


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_lost_lease_is_told_once_and_no_outcome(job, recorded, verdict):
    lease_elsewhere(job.handle)

    VERDICTS[verdict][0](job)

    assert counts(recorded) == {"lease_lost": 1}
    [(sender, arguments)] = recorded["lease_lost"].sent
    assert sender is Job
    assert arguments == {"job": job}


def test_a_lost_lease_is_not_told_again(job, recorded):
    lease_elsewhere(job.handle)

    job.completed()
    job.failed("no")

    assert counts(recorded) == {"lease_lost": 1}


def test_a_lease_that_ended_and_that_nobody_took_is_not_lost(job, recorded):
    end_lease(job.handle)
    job.refresh_from_db()

    job.completed()

    assert counts(recorded) == {"job_finished": 1}


# Receivers that raise


@pytest.fixture
def broken():
    """A receiver of every signal that raises."""

    def receiver(**arguments):
        raise ZeroDivisionError

    for name in SIGNALS:
        getattr(signals, name).connect(receiver)
    yield
    for name in SIGNALS:
        getattr(signals, name).disconnect(receiver)


def test_a_receiver_that_raises_keeps_no_job_from_its_way(client, dialect, broken):
    handle = client.dispatch_async("Try", "completed")
    client.can_do("Try")

    worked = client.work_once()

    assert worked is True
    assert handle.exit_status == 0
    assert handle.failures == 0


def test_a_receiver_that_raises_breaks_no_transaction(client, database, broken):
    with transaction.atomic(using=database):
        handle = client.dispatch_async("Try")

    assert handle.is_pending


def test_a_receiver_that_raises_does_not_find_a_lost_lease_again(job, broken):
    lease_elsewhere(job.handle)
    before = row_of(job.handle)

    recorded = job.completed()

    assert recorded is False
    assert row_of(job.handle) == before


def test_a_receiver_that_raises_keeps_no_database_from_dying(dead_database, database, broken):
    databases = Databases([dead_database, database], retry_seconds=30)

    with databases.failing_over(dead_database):
        connections[dead_database].ensure_connection()

    assert databases.in_random_order() == [database]


# The log


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG, "django_schwartz")
    return caplog


def lines(log):
    return [(record.levelname, record.getMessage()) for record in log.records]


def test_a_completed_job_is_logged_with_its_time(client, log):
    handle = client.dispatch_async("Try", "completed")
    client.can_do("Try")

    client.work_once()

    [(level, message)] = lines(log)
    assert level == "INFO"
    assert message.startswith(f"Try {handle} completed in 0.")
    assert message.endswith(" s")


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        ("completed", ("INFO", "completed")),
        ("replace_with", ("INFO", "replaced")),
        ("failed", ("WARNING", "failed, to be retried: no")),
        ("permanent_failure", ("WARNING", "failed for good: no")),
        ("declined", ("INFO", "declined")),
        ("give_back", ("INFO", "given back")),
    ],
)
def test_every_verdict_is_one_line_of_the_log(job, log, verdict, line):
    VERDICTS[verdict][0](job)

    level, what = line
    assert lines(log) == [(level, f"Try {job.handle} {what}")]


def test_a_lost_lease_is_a_warning(job, log):
    lease_elsewhere(job.handle)

    job.completed()

    assert lines(log) == [("WARNING", f"Try {job.handle} lease lost: its outcome is not recorded")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, with café and ☕", "plain text, with café and ☕"),
        ("one\ntwo\r\n", "one\\ntwo\\r\\n"),
        ("\x1b[31mred\x1b[0m \x9b31m", "\\x1b[31mred\\x1b[0m \\x9b31m"),
        ("\x00\x07\x08\x0b\x0c\x7f\x85", "\\x00\\x07\\x08\\x0b\\x0c\\x7f\\x85"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("\u202eright to left\u2066", "\\u202eright to left\\u2066"),
        ("half \ud800", "half \\ud800"),
        ("\U000e0041 a tag", "\\U000e0041 a tag"),
        ("x" * 10_000, "x" * 500),
        (ValueError("a\nb"), "a\\nb"),
        (None, "None"),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_printable_text_is_on_one_line_and_not_long(text, shown):
    assert printable(text) == shown


FORGED = "x\nERROR forged\r\x1b[2K\u2028\u2029\x85\x0b\x0c\x1c"


def is_on_one_line(record):
    """Whether the line of the log, as a handler writes it, shows as one everywhere."""
    text = logging.Formatter("%(message)s").format(record)
    return "forged" in text and text.isprintable()


@pytest.fixture
def forger(client, database):
    """A worker whose funcname is meant to forge a log, and does as a job's arg says."""
    register(type("Forger", (Try,), {"funcname": FORGED}))
    client.can_do(registry[FORGED])
    return client


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_funcname_forges_no_line_about_an_outcome(forger, log, verdict):
    forger.dispatch_async(FORGED)
    job = forger.find_job_for_workers()

    VERDICTS[verdict][0](job)

    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)


def test_a_funcname_forges_no_line_about_a_lost_lease(forger, log):
    forger.dispatch_async(FORGED)
    job = forger.find_job_for_workers()
    lease_elsewhere(job.handle)

    job.completed()

    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)


def test_a_funcname_forges_no_line_about_a_second_verdict(forger, log):
    forger.dispatch_async(FORGED)
    job = forger.find_job_for_workers()
    job.completed()
    log.clear()

    job.failed("too late")

    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)


def test_a_funcname_forges_no_line_of_a_job_without_a_client(client, log):
    job = client.dispatch_async(FORGED).job
    job.debug_to = None

    job.debug("hello")

    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)


def test_a_message_forges_no_line(job, log):
    job.permanent_failure(FORGED)

    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)


def test_a_debug_message_forges_no_line(client, job, log):
    job.debug(FORGED)
    client.debug(FORGED)

    assert len(log.records) == 2
    assert all(is_on_one_line(record) for record in log.records)


def test_an_exception_forges_no_line(client, log):
    @register
    class Raise(Worker):
        funcname = "RaiseForged"

        def work(self, job):
            raise ValueError(FORGED)

    client.dispatch_async("RaiseForged")
    client.can_do(Raise)

    client.work_once()

    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)


def test_an_exception_after_the_verdict_forges_no_line(forger, log):
    @register
    class TooLate(Worker):
        funcname = FORGED + "too late"

        def work(self, job):
            job.completed()
            raise ValueError

    forger.dispatch_async(TooLate.funcname)
    forger.can_do(TooLate)
    forger.work_once()

    about_the_verdict, about_the_exception = log.records
    assert is_on_one_line(about_the_verdict)
    assert about_the_exception.getMessage().isprintable()
    assert about_the_exception.getMessage().endswith(" raised after its verdict, which stands")


def lines_of(record):
    """What the log shows of the record, line by line as any program may read them."""
    return logging.Formatter("%(levelname)s %(message)s").format(record).splitlines()


def test_the_traceback_of_an_exception_after_the_verdict_forges_no_line(client, log):
    @register
    class TooLate(Worker):
        def work(self, job):
            job.completed()
            error = ValueError(FORGED)
            error.add_note(FORGED)
            raise LookupError(FORGED) from error

    client.dispatch_async("TooLate")
    client.can_do(TooLate)

    client.work_once()

    _, *barred = lines_of(log.records[-1])
    assert all(line.startswith("  | ") and line.isprintable() for line in barred)
    assert sum("raise LookupError(FORGED) from error" in line for line in barred) == 1
    assert any(line.startswith("  | LookupError: ") for line in barred)
    assert log.records[-1].exc_info[0] is LookupError


def test_the_traceback_of_a_policy_forges_no_line(log):
    class Undecided(Worker):
        def get_max_retries(self, job):
            raise ValueError(FORGED)

    Undecided.policy("max_retries", Job())

    _, *barred = lines_of(log.records[-1])
    assert all(line.startswith("  | ") and line.isprintable() for line in barred)
    assert any("in get_max_retries" in line for line in barred)


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __str__(self):
        raise SystemExit


def test_an_exception_that_cannot_be_shown_is_logged(log):
    class Undecided(Worker):
        def get_max_retries(self, job):
            raise Unspeakable

    Undecided.policy("max_retries", Job())

    assert len(lines_of(log.records[-1])) >= 2


def test_a_uniqkey_forges_no_line(client, log):
    client.dispatch_async("Try", uniqkey=FORGED)

    @register
    class Split(Worker):
        def work(self, job):
            job.replace_with(Job(funcname="Try", uniqkey=FORGED))

    client.dispatch_async("Split")
    client.can_do("Split")

    client.work_once()

    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)


def test_what_a_database_says_forges_no_line(database, log):
    databases = Databases([database], retry_seconds=30)

    signals.database_died.send(
        Databases, using=database, error=OperationalError(FORGED), retry_seconds=30
    )

    assert databases.causes == {}
    assert len(log.records) == 1
    assert all(is_on_one_line(record) for record in log.records)
