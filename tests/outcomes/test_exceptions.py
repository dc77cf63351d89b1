"""What a worker raises is kept, and is the failure of its job only."""

import asyncio

import pytest

from django_schwartz.fields import unix_seconds
from django_schwartz.models import Error


class Stop(BaseException):
    """Not an Exception."""


class Unprintable(Exception):
    def __str__(self):
        raise ZeroDivisionError


class Untellable(Exception):
    def __str__(self):
        raise SystemExit


class Wordless(Exception):
    def __str__(self):
        return None


def raising(error):
    """Work that raises the error."""

    def work(job):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("two\nlines"), "RuntimeError: two\nlines"),
        (KeyError("missing"), "KeyError: 'missing'"),
        (RuntimeError("a\0b"), "RuntimeError: a\\x00b"),
        (RuntimeError("half \ud83d of a pair"), "RuntimeError: half \\ud83d of a pair"),
        (RuntimeError("Grüße 🐫"), "RuntimeError: Grüße 🐫"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt("^C"), "KeyboardInterrupt: ^C"),
        (GeneratorExit("closed"), "GeneratorExit: closed"),
        (asyncio.CancelledError("later"), "CancelledError: later"),
        (Stop("whatever"), "Stop: whatever"),
        (
            Unprintable(),
            "Unprintable: <a Unprintable whose text cannot be had: ZeroDivisionError>",
        ),
        (Untellable(), "Untellable: <a Untellable whose text cannot be had: SystemExit>"),
        (Wordless(), "Wordless: <a Wordless whose text cannot be had: TypeError>"),
        (
            ExceptionGroup("some", [ValueError("one"), KeyError("two")]),
            "ExceptionGroup: some (2 sub-exceptions)",
        ),
        (
            BaseExceptionGroup("some", [KeyboardInterrupt()]),
            "BaseExceptionGroup: some (1 sub-exception)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_is_raised_is_a_failure_with_its_text(perform, error, message):
    handle = perform(raising(error))

    assert handle.failure_log == [message]
    assert handle.exit_status == 1
    assert not handle.is_pending


@pytest.mark.parametrize("error", [RuntimeError("1"), SystemExit(1), KeyboardInterrupt(), Stop()])
def test_the_worker_goes_on_with_the_next_job(client, perform, error):
    perform(raising(error))
    handle = client.dispatch_async("Once")

    worked = client.work_once()

    assert worked is True
    assert handle.failures == 1


@pytest.mark.parametrize("error", [RuntimeError("1"), SystemExit(1), KeyboardInterrupt(), Stop()])
def test_whatever_is_raised_is_retried_as_any_failure(perform, error):
    handle = perform(raising(error), max_retries=1)

    assert handle.job.grabbed_until is None
    assert handle.failures == 1


def test_the_traceback_is_kept(perform):
    handle = perform(raising(RuntimeError("why")))

    error = Error.objects.get(jobid=handle.jobid)
    assert error.traceback.startswith("Traceback (most recent call last):\n")
    assert "in work\n    raise error\n" in error.traceback
    assert error.traceback.endswith("RuntimeError: why\n")


def test_the_class_is_kept(perform):
    handle = perform(raising(Stop("why")))

    assert Error.objects.get(jobid=handle.jobid).exception == "tests.outcomes.test_exceptions.Stop"


def test_the_traceback_tells_of_the_cause_too(perform):
    def work(job):
        try:
            {}["nothing"]
        except KeyError as error:
            raise RuntimeError("could not") from error

    handle = perform(work)

    traceback = Error.objects.get(jobid=handle.jobid).traceback
    assert "KeyError: 'nothing'" in traceback
    assert "direct cause" in traceback


def test_the_traceback_of_a_group_tells_of_each(perform):
    handle = perform(raising(ExceptionGroup("some", [ValueError("one"), KeyError("two")])))

    traceback = Error.objects.get(jobid=handle.jobid).traceback
    assert "ValueError: one" in traceback
    assert "KeyError: 'two'" in traceback


def test_a_traceback_is_made_storable_like_the_message(perform):
    handle = perform(raising(RuntimeError("a\0b \ud83d")))

    assert "RuntimeError: a\\x00b \\ud83d\n" in Error.objects.get(jobid=handle.jobid).traceback


def test_the_middle_of_a_long_text_is_cut_out(perform):
    handle = perform(raising(RuntimeError("b" * 500_000 + "middle" + "e" * 500_000)))

    [message] = handle.failure_log
    assert len(message) <= 65_536
    assert message.startswith("RuntimeError: bbb")
    assert message.endswith("eee")
    assert " characters cut ...\n" in message
    assert len(Error.objects.get(jobid=handle.jobid).traceback) <= 65_536


@pytest.mark.parametrize("character", ["\0", "\ud83d"])
def test_a_long_text_of_nothing_but_escapes_stays_within_its_bounds(perform, character):
    handle = perform(lambda job: job.failed(ValueError(character * 1_000_000)))

    error = Error.objects.get(jobid=handle.jobid)
    assert len(error.message) <= 65_536
    assert len(error.traceback) <= 65_536


def test_a_class_with_a_long_name_is_kept_as_far_as_it_fits(perform):
    handle = perform(raising(type("E" * 300, (Exception,), {})()))

    assert len(Error.objects.get(jobid=handle.jobid).exception) == 255


def test_an_endless_recursion_is_a_failure(perform):
    def work(job):
        work(job)

    handle = perform(work)

    assert handle.failure_log[0].startswith("RecursionError: ")


def test_a_very_long_chain_of_causes_is_a_failure(perform):
    error = None
    for _ in range(5000):
        cause, error = error, RuntimeError("last")
        error.__cause__ = cause

    handle = perform(raising(error))

    assert handle.failure_log == ["RuntimeError: last"]
    assert handle.exit_status == 1


def test_a_worker_that_cannot_be_made_is_a_failure(perform):
    def cannot(self):
        raise RuntimeError("no worker")

    handle = perform(lambda job: job.completed(), __init__=cannot)

    assert handle.failure_log == ["RuntimeError: no worker"]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("a\0b", "a\\x00b"),
        ("\udcff", "\\udcff"),
        (None, "None"),
        (42, "42"),
        (b"bytes", "b'bytes'"),
        ({"a": 1}, "{'a': 1}"),
        (ValueError("why"), "ValueError: why"),
        (type("Odd", (), {"__str__": lambda self: 1 / 0})(), None),
    ],
)
def test_a_worker_may_fail_its_job_with_anything_for_a_message(perform, message, text):
    handle = perform(lambda job: job.failed(message, 7))

    expected = text or "<a Odd whose text cannot be had: ZeroDivisionError>"
    assert handle.failure_log == [expected]
    assert handle.exit_status == 7


def test_an_exception_that_a_worker_fails_its_job_with_keeps_its_traceback(perform):
    def work(job):
        try:
            {}["nothing"]
        except KeyError as error:
            job.failed(error, 7)

    handle = perform(work)

    error = Error.objects.get(jobid=handle.jobid)
    assert (error.message, error.exception) == ("KeyError: 'nothing'", "builtins.KeyError")
    assert '{}["nothing"]' in error.traceback
    assert handle.exit_status == 7


# A verdict, and then an exception


def test_a_job_that_was_completed_before_its_worker_raised_is_a_success(perform, caplog):
    def work(job):
        job.completed()
        raise RuntimeError("afterwards")

    handle = perform(work)

    assert handle.exit_status == 0
    assert handle.failures == 0
    assert f"Once {handle} raised after its verdict, which stands" in caplog.messages


def test_a_job_that_had_failed_before_its_worker_raised_has_failed_once(perform):
    def work(job):
        job.failed("first")
        raise RuntimeError("afterwards")

    handle = perform(work, max_retries=5)

    assert handle.failure_log == ["first"]
    assert handle.is_pending


@pytest.mark.parametrize("run_after", [None, 1_900_000_000])
def test_a_job_that_was_declined_before_its_worker_raised_has_failed(perform, run_after):
    def work(job):
        job.declined(run_after)
        raise RuntimeError("afterwards")

    handle = perform(work, max_retries=5, retry_delay=-1)

    assert handle.failure_log == ["RuntimeError: afterwards"]
    assert handle.job.grabbed_until is None
    assert unix_seconds(handle.job.run_after) < 1_900_000_000


def test_a_job_of_which_its_worker_says_nothing_has_failed(perform):
    handle = perform(lambda job: None)

    assert handle.exit_status == 1
    assert handle.failure_log == ["Job did not explicitly complete, fail, or get replaced"]


def test_what_work_returns_means_nothing(perform):
    handle = perform(lambda job: job.completed() or False)

    assert handle.exit_status == 0
