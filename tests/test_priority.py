"""The more important is grabbed first. After t/priority.t."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Job


@pytest.fixture
def performed():
    """The args of the jobs that were performed, in turn."""
    return []


@pytest.fixture(autouse=True)
def _note(performed):
    @register
    class Remember(Worker):
        def work(self, job):
            performed.append(job.arg)
            job.completed()


def work_until_done(**options):
    client = TheSchwartz(**options)
    client.can_do("Remember")
    client.work_until_done()


def dispatch(client, *priorities):
    """Queue a job for each priority, which is its arg too."""
    return client.dispatch_jobs(
        [Job(funcname="Remember", arg=priority, priority=priority) for priority in priorities]
    )


def test_jobs_are_performed_from_the_highest_priority_to_the_lowest(client, dialect, performed):
    dispatch(client, 3, 1, 7, 10, 5, 2, 9, 4, 8, 6)

    work_until_done()

    assert performed == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_the_order_is_strict_however_many_candidates_are_looked_at(
    client, dialect, performed, batch_size
):
    dispatch(client, 2, 3, 1, 5, 4)

    work_until_done(batch_size=batch_size)

    assert performed == [5, 4, 3, 2, 1]


def test_priorities_may_be_negative(client, dialect, performed):
    dispatch(client, -32_768, 0, -1, 32_767)

    work_until_done()

    assert performed == [32_767, 0, -1, -32_768]


def test_the_extremes_and_null_are_in_their_places(client, dialect, performed):
    handles = dispatch(client, -32_768, 32_767, 0, 1, -1)
    Job.objects.filter(pk=handles[2].jobid).update(priority=None)

    work_until_done()

    assert performed == [32_767, 1, 0, -1, -32_768]


@pytest.mark.parametrize("priority", [2**31, 32_768, -32_769])
def test_a_priority_beyond_them_is_refused_and_leaves_the_database_alive(client, priority):
    with pytest.raises(ValueError, match="must lie between"):
        client.dispatch_async("Remember", priority=priority)

    assert client.databases.causes == {}
    assert not Job.objects.exists()


def test_a_job_dispatched_without_a_priority_has_0(client):
    handle = client.dispatch_async("Remember")

    assert handle.job.priority == 0


def test_null_which_perl_writes_counts_as_0(client, dialect, performed):
    handles = dispatch(client, 1, 0, -1)
    Job.objects.filter(pk=handles[1].jobid).update(priority=None)

    work_until_done()

    assert performed == [1, 0, -1]


def test_of_equal_priorities_the_longest_due_comes_first(client, dialect, performed):
    late, early = dispatch(client, 5, 5)
    Job.objects.filter(pk=late.jobid).update(run_after=ServerTime() - 10, arg="late")
    Job.objects.filter(pk=early.jobid).update(run_after=ServerTime() - 20, arg="early")

    work_until_done()

    assert performed == ["early", "late"]


def test_of_jobs_equally_long_due_the_first_dispatched_comes_first(client, dialect, performed):
    client.dispatch_jobs(
        [Job(funcname="Remember", arg=arg, run_after=1_000_000_000) for arg in ("a", "b", "c")]
    )

    work_until_done()

    assert performed == ["a", "b", "c"]


def test_a_high_priority_does_not_hasten_a_job_that_is_not_due(client, dialect, performed):
    dispatch(client, 1)
    client.dispatch_async("Remember", "later", priority=9, run_after=4_000_000_000)

    work_until_done()

    assert performed == [1]


def test_jobs_below_the_floor_stay(client, dialect, performed):
    dispatch(client, 1, 2, 3, 4, 5)

    work_until_done(floor=3)

    assert performed == [5, 4, 3]
    assert sorted(Job.objects.values_list("priority", flat=True)) == [1, 2]


def test_a_job_without_a_priority_is_below_a_floor_of_1(client, dialect, performed):
    [handle] = dispatch(client, 0)
    Job.objects.filter(pk=handle.jobid).update(priority=None)

    work_until_done(floor=1)

    assert performed == []


def test_a_job_without_a_priority_is_above_a_floor_of_minus_1(client, dialect, performed):
    no_priority, _ = dispatch(client, 0, -2)
    Job.objects.filter(pk=no_priority.jobid).update(priority=None)

    work_until_done(floor=-1)

    assert performed == [0]


def test_a_floor_of_0_is_no_floor(client, dialect, performed):
    dispatch(client, -5)

    work_until_done(floor=0)

    assert performed == [-5]


def test_the_floor_holds_for_listing_too(client):
    dispatch(client, 1, 3)

    listed = TheSchwartz(floor=2).list_jobs("Remember")

    assert [job.priority for job in listed] == [3]


def test_a_client_that_does_not_prioritize_serves_in_the_order_of_dispatch(
    client, dialect, performed
):
    dispatch(client, 3, 1, 2)

    work_until_done(prioritize=False)

    assert performed == [3, 1, 2]


def test_a_floor_needs_a_client_that_prioritizes(database):
    with pytest.raises(ValueError, match="floor only works if prioritize is set"):
        TheSchwartz(prioritize=False, floor=1)


def test_the_floor_cannot_be_raised_later_either(database):
    client = TheSchwartz(prioritize=False)

    with pytest.raises(ValueError, match="floor only works if prioritize is set"):
        client.floor = 1


def test_the_setting_decides_where_the_client_says_nothing(settings, client, performed):
    settings.SCHWARTZ = {**settings.SCHWARTZ, "PRIORITIZE": True, "FLOOR": 2}
    dispatch(client, 1, 2, 3)

    work_until_done()

    assert performed == [3, 2]


@pytest.mark.parametrize("priority", ["5", 1.5, True])
def test_a_priority_that_is_no_whole_number_is_refused(client, priority):
    with pytest.raises(TypeError, match="priority must be a whole number"):
        client.dispatch_async("Remember", priority=priority)


@pytest.mark.parametrize("priority", [32_768, -32_769])
def test_a_priority_that_the_column_cannot_hold_is_refused(client, priority):
    with pytest.raises(ValueError, match="priority must lie between -32768 and 32767"):
        client.dispatch_async("Remember", priority=priority)
