"""Errors and exit statuses as texts and rows: what is left of an attempt, whatever it was."""

import pytest

from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, ExitStatus, Failure


def test_a_failure_told_in_words_has_these_words_alone():
    failure = Failure.of("no such address")

    assert failure == Failure(message="no such address", exception=None, traceback=None)


def test_a_failure_told_by_an_exception_has_its_class_and_its_traceback():
    try:
        {}["to"]
    except KeyError as error:
        failure = Failure.of(error)

    assert failure.message == "KeyError: 'to'"
    assert failure.exception == "builtins.KeyError"
    assert failure.traceback.startswith("Traceback (most recent call last):\n")
    assert failure.traceback.endswith("KeyError: 'to'\n")


def test_a_failure_told_by_an_exception_has_what_caused_it():
    try:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError as error:
            raise ValueError("no such address") from error
    except ValueError as error:
        failure = Failure.of(error)

    assert "ZeroDivisionError: division by zero" in failure.traceback
    assert failure.message == "ValueError: no such address"


@pytest.mark.parametrize("fault", [ValueError, SystemExit, KeyboardInterrupt], ids=str)
def test_an_exception_that_raises_when_it_is_asked_for_its_cause_is_a_failure_all_the_same(fault):
    class Odd(Exception):
        @property
        def __cause__(self):
            raise fault

    failure = Failure.of(Odd("what it says"))

    assert failure.message == "Odd: what it says"
    assert failure.traceback == f"<the traceback cannot be had: {fault.__name__}>"


def test_a_nested_class_of_exceptions_is_told_by_its_path():
    class Odd(Exception):
        pass

    failure = Failure.of(Odd())

    assert failure.message == "Odd: "
    assert failure.exception == (
        "tests.test_history.test_a_nested_class_of_exceptions_is_told_by_its_path.<locals>.Odd"
    )


def test_the_path_of_a_class_fits_its_column():
    failure = Failure.of(type("O" * 300, (Exception,), {})())

    assert len(failure.exception) == 255


def test_the_failures_of_a_job_are_told_in_the_order_in_which_they_came(client):
    handle = client.dispatch_async("Note")
    first, second, third = (handle.job.add_failure(text) for text in "abc")

    Error.objects.filter(pk=first.pk).update(error_time=ServerTime() + 60)
    Error.objects.filter(pk=third.pk).update(error_time=ServerTime() - 60)

    assert handle.failure_log == ["c", "b", "a"]
    assert second.jobid == handle.jobid


def test_the_failures_of_one_second_are_told_in_the_order_in_which_they_came(client):
    handle = client.dispatch_async("Note")
    for text in "abc":
        handle.job.add_failure(text)
    Error.objects.update(error_time=1_000_000_000)

    assert handle.failure_log == ["a", "b", "c"]


def test_an_error_is_shown_by_the_first_line_of_its_message():
    assert str(Error(message="no such address\nand more")) == "no such address"
    assert str(Error(message="x" * 200)) == "x" * 100


def test_an_error_and_an_exit_status_know_the_name_of_their_function(client):
    handle = client.dispatch_async("Note")
    handle.job.permanent_failure("no")

    assert Error.objects.get().funcname == "Note"
    assert ExitStatus.objects.get().funcname == "Note"


def test_a_function_that_has_no_row_is_named_by_its_number(database):
    error = Error.objects.create(jobid=1, func_id=999_999, message="no", error_time=1)

    assert Error.objects.get(pk=error.pk).funcname == "funcid 999999"
