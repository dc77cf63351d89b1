"""dispatched() and its assertions tell what is in the queue."""

from datetime import UTC, datetime, timedelta

import pytest

from django_schwartz import Worker
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job
from django_schwartz.testing import assert_dispatched, assert_not_dispatched, dispatched
from tests.app.workers import Note


@pytest.fixture
def queue(client):
    """Three jobs."""
    client.dispatch_async("Note", {"to": ("a", 1)}, uniqkey=7, coalesce="example.org")
    client.dispatch_async("Note", "b", priority=3, run_after=timedelta(hours=1))
    client.dispatch_async("Mail", None, run_after=datetime(2040, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("asked", "fields", "count"),
    [
        (None, {}, 3),
        ("Note", {}, 2),
        (Note, {}, 2),
        ("Mail", {"arg": None}, 1),
        ("Note", {"arg": None}, 0),
        ("Note", {"arg": {"to": ("a", 1)}}, 1),
        ("Note", {"arg": {"to": ["a", 1]}}, 1),
        ("Note", {"arg": {"to": ["a", 2]}}, 0),
        ("Note", {"uniqkey": "7"}, 1),
        ("Note", {"uniqkey": 7}, 1),
        ("Note", {"uniqkey": None}, 1),
        ("Note", {"coalesce": "example.org", "priority": 0}, 1),
        (None, {"run_after": timedelta(hours=1)}, 1),
        (None, {"run_after": timedelta(hours=2)}, 0),
        (None, {"run_after": datetime(2040, 1, 1, tzinfo=UTC)}, 1),
    ],
)
def test_jobs_are_found_by_worker_and_fields(queue, asked, fields, count):
    assert len(dispatched(asked, **fields)) == count


def test_they_come_in_the_order_of_their_dispatch(queue):
    assert [job.funcname for job in dispatched()] == ["Note", "Note", "Mail"]


def test_an_unknown_field_is_an_error_of_the_test(database):
    with pytest.raises(TypeError, match="not for args"):
        dispatched("Note", args=[1])


def test_the_job_is_given(queue):
    assert assert_dispatched("Note", uniqkey="7").coalesce == "example.org"


def test_what_is_queued_instead_is_told(queue):
    with pytest.raises(AssertionError) as raised:
        assert_dispatched("Note", arg="c")

    first, *others = str(raised.value).splitlines()
    assert first == "Expected a job of Note with arg='c', found 0. The queue has:"
    assert others[1].startswith("  Note arg='b', run_after=")


def test_an_empty_queue_is_told(database):
    with pytest.raises(AssertionError, match=r"found 0\. The queue is empty\."):
        assert_dispatched(Note)


def test_they_are_counted(queue):
    assert_dispatched("Note", count=2)

    with pytest.raises(AssertionError, match="Expected 1 jobs of Note, found 2"):
        assert_dispatched("Note", count=1)


def test_the_negation(queue):
    assert_not_dispatched("Note", arg="c")
    assert_not_dispatched("Nothing")

    with pytest.raises(AssertionError, match="Expected no job of Note with arg='b', found 1"):
        assert_not_dispatched("Note", arg="b")
    with pytest.raises(AssertionError, match="Expected no job of any worker, found 3"):
        assert_not_dispatched()


def test_an_arg_is_compared_as_the_worker_of_its_format_gets_it(client, schwartz_workers):
    class Perl(Worker):
        arg_format = "storable"

    from django_schwartz import register

    register(Perl)
    client.dispatch_async("Perl", {"to": [1]})

    assert_dispatched(Perl, arg={"to": [1]})


def test_one_database_of_several_is_asked(two_databases):
    TheSchwartz().dispatch_async("Note", using="sqlite")

    assert_dispatched("Note", using="sqlite")
    assert_not_dispatched("Note", using="postgresql")
    assert len(dispatched()) == 1


def test_a_job_that_left_the_queue_is_not_told_of(client, database):
    client.dispatch_async(Job(funcname="Note"))
    client.find_job_for_workers(["Note"]).completed()

    assert_not_dispatched()
