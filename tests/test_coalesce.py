"""Jobs that share a resource are grabbed and performed together. After t/coalesce.t."""

from datetime import timedelta

import pytest

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job
from tests.rows import lease_elsewhere

NO_VERDICT = "Job did not explicitly complete, fail, or get replaced"


@pytest.fixture
def dispatch(client):
    """Dispatch a job of Gather with that coalesce, which is its arg too; give its handle."""

    def dispatch_one(coalesce, **fields):
        return client.dispatch_async("Gather", coalesce, coalesce=coalesce, **fields)

    return dispatch_one


@pytest.fixture
def by_value(client, dialect):
    return lambda value: client.find_job_with_coalescing_value("Gather", value)


@pytest.fixture
def by_prefix(client, dialect):
    return lambda prefix: client.find_job_with_coalescing_prefix("Gather", prefix)


def found(find, *sought):
    """The args of the jobs that are grabbed until there are no more, in alphabetical order."""
    return sorted(job.arg for job in iter(lambda: find(*sought), None))


# The whole group


def test_a_worker_performs_a_job_with_all_that_share_its_key(client, dialect):
    performed = []

    @register
    class Gather(Worker):
        keep_exit_status_for = 20

        def work(self, job):
            group = [job.arg["n"]]
            job.completed()
            while other := find_more(job.arg["key"]):
                group.append(other.arg["n"])
                other.completed()
            performed.append(sorted(group))

    def find_more(key):
        if key == "foo":
            return client.find_job_with_coalescing_prefix("Gather", "f")
        return client.find_job_with_coalescing_value(Gather, key)

    keys = ["foo", "bar", "baz", "foo", "bar", "baz", "foo", "bar", "baz", "foo"]
    handles = [
        client.dispatch_async("Gather", {"key": key, "n": n}, coalesce=key)
        for n, key in enumerate(keys)
    ]
    client.can_do(Gather)

    worked = [client.work_once() for _ in range(4)]

    assert worked == [True, True, True, False]
    assert sorted(performed) == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert [handle.exit_status for handle in handles] == [0] * 10


def test_each_job_of_a_group_gets_its_own_outcome(client, dialect, dispatch):
    @register
    class Gather(Worker):
        keep_exit_status_for = 20

        def work(self, job):
            others = [client.find_job_with_coalescing_value(Gather, "a") for _ in range(3)]
            job.completed()
            others[0].permanent_failure("refused", 550)
            others[1].replace_with(Job(funcname="Deliver"))
            others[2].declined(timedelta(hours=1))

    first, second, third, fourth = (dispatch("a") for _ in range(4))
    client.can_do(Gather)

    client.work_once()

    assert first.exit_status == 0
    assert (second.exit_status, second.failure_log) == (550, ["refused"])
    assert third.exit_status == 0
    assert (fourth.is_pending, fourth.failures) == (True, 0)
    assert Job.objects.count() == 2


def test_each_job_of_a_group_of_which_nothing_is_said_has_failed(client, dialect, dispatch):
    @register
    class Gather(Worker):
        def work(self, job):
            job.completed()
            client.find_job_with_coalescing_value(Gather, "a").completed()
            client.find_job_with_coalescing_value(Gather, "a")
            client.find_job_with_coalescing_value(Gather, "a")

    handles = [dispatch("a") for _ in range(4)]
    client.can_do(Gather)

    client.work_once()

    assert [handle.failure_log for handle in handles] == [[], [], [NO_VERDICT], [NO_VERDICT]]


def test_a_job_whose_arg_cannot_be_read_fails_and_does_not_disturb_its_group(client, dispatch):
    got = []

    @register
    class Gather(Worker):
        keep_exit_status_for = 20

        def work(self, job):
            job.completed()
            while other := client.find_job_with_coalescing_value(Gather, "a"):
                got.append(other.arg)
                other.completed()

    dispatch("a")
    unreadable = dispatch("a")
    Job.objects.filter(pk=unreadable.jobid).update(arg=b'{"never": "closed"')
    dispatch("a")
    client.can_do(Gather)

    client.work_once()

    assert got == ["a"]
    assert unreadable.exit_status == 1
    assert "The arg cannot be read" in unreadable.failure_log[0]


# By value


def test_a_value_finds_the_jobs_with_just_that_value(dispatch, by_value):
    for coalesce in ("foo", "foobar", "fo", "Foo", "foo ", None):
        dispatch(coalesce)
    dispatch("foo")

    assert found(by_value, "foo") == ["foo", "foo"]


def test_a_value_is_no_pattern(dispatch, by_value):
    for coalesce in ("f%", "f_", "foo", "fo"):
        dispatch(coalesce)

    assert found(by_value, "f%") == ["f%"]
    assert found(by_value, "f_") == ["f_"]


def test_a_value_that_no_job_has_finds_nothing(dispatch, by_value):
    dispatch("foo")

    assert by_value("bar") is None


# By prefix


def test_a_prefix_finds_the_jobs_whose_value_begins_so(dispatch, by_prefix):
    for coalesce in ("foo", "foobar", "fo", "barfoo", None):
        dispatch(coalesce)

    assert found(by_prefix, "foo") == ["foo", "foobar"]


@pytest.mark.parametrize(
    ("prefix", "coalesce"),
    [("a_", "a_c"), ("a%", "a%c"), ("a\\", "a\\c"), ("a'", "a'c"), ('a"', 'a"c'), ("a*", "a*c")],
)
def test_every_character_of_a_prefix_stands_for_itself(dispatch, by_prefix, prefix, coalesce):
    for other in (coalesce, "axc", "abc", "a"):
        dispatch(other)

    assert found(by_prefix, prefix) == [coalesce]


def test_a_prefix_minds_its_case(dispatch, by_prefix):
    for coalesce in ("Foo", "foo", "FOO"):
        dispatch(coalesce)

    assert found(by_prefix, "fo") == ["foo"]


def test_a_prefix_is_counted_in_characters(dispatch, by_prefix):
    for coalesce in ("grün.example", "grau.example", "🐘🐘", "🐘"):
        dispatch(coalesce)

    assert found(by_prefix, "grü") == ["grün.example"]
    assert found(by_prefix, "🐘🐘") == ["🐘🐘"]


def test_a_prefix_that_no_column_holds_is_refused(by_prefix):
    with pytest.raises(ValueError, match="coalesce holds NUL"):
        by_prefix("a\0")
    with pytest.raises(TypeError, match="coalesce must be text, not list"):
        by_prefix(["a"])


def test_the_empty_prefix_finds_every_job_that_has_a_value(dispatch, by_prefix):
    for coalesce in ("foo", "bar", None):
        dispatch(coalesce)

    assert found(by_prefix, "") == ["bar", "foo"]


# Both


@pytest.fixture(params=["value", "prefix"])
def find(request, client, dialect):
    """Grab a job of Gather by its coalesce, by value or by prefix."""
    return {
        "value": client.find_job_with_coalescing_value,
        "prefix": client.find_job_with_coalescing_prefix,
    }[request.param]


def test_what_is_found_is_grabbed_for_as_long_as_its_worker_says(client, find, dispatch):
    @register
    class Gather(Worker):
        grab_for = 10_000

    handle = dispatch("foo")

    job = find(Gather, "foo")

    assert job.handle == handle
    lease = job.grabbed_until.timestamp() - client.get_server_time()
    assert 9_900 < lease <= 10_000


def test_a_job_that_is_held_is_not_found(find, dispatch):
    lease_elsewhere(dispatch("foo"))

    assert find("Gather", "foo") is None


def test_a_job_that_is_not_due_is_not_found(find, dispatch):
    dispatch("foo", run_after=timedelta(hours=1))

    assert find("Gather", "foo") is None


def test_a_job_of_another_function_is_not_found(client, find, dispatch):
    client.dispatch_async("Scatter", coalesce="foo")

    assert find("Gather", "foo") is None


def test_it_is_not_limited_to_the_abilities_of_the_client(client, find, dispatch):
    @register
    class Scatter(Worker):
        pass

    client.can_do(Scatter)
    dispatch("foo")

    assert find("Gather", "foo") is not None


def test_a_function_that_was_never_heard_of_has_no_jobs(find):
    assert find("NeverHeardOf", "foo") is None


def test_a_job_without_a_value_takes_no_other_along(find, dispatch):
    dispatch("foo")
    alone = dispatch(None).job

    assert find("Gather", alone.coalesce) is None


def test_the_highest_priority_comes_first(find, dispatch):
    for priority in (1, 3, 2):
        dispatch("foo", priority=priority)

    jobs = [find("Gather", "foo") for _ in range(3)]

    assert [job.priority for job in jobs] == [3, 2, 1]


def test_what_lies_below_the_floor_is_not_found(dialect, dispatch):
    client = TheSchwartz(floor=2)
    dispatch("foo", priority=1)

    assert client.find_job_with_coalescing_value("Gather", "foo") is None
    assert client.find_job_with_coalescing_prefix("Gather", "foo") is None


def test_a_group_is_found_in_every_database(two_databases):
    client = TheSchwartz()
    for alias in two_databases:
        client.dispatch_async("Gather", alias, coalesce="foo", using=alias)

    args = found(client.find_job_with_coalescing_value, "Gather", "foo")

    assert args == ["postgresql", "sqlite"]
