"""Jobs are listed without being grabbed. After t/api.t, and what became of list_jobs since."""

from datetime import timedelta

import pytest

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job


@pytest.fixture
def handle(client):
    """The handle of a job that waits."""
    return client.dispatch_async("feedmajor", "kibble")


def args_of(jobs):
    return sorted(job.arg for job in jobs)


def test_list_jobs_finds_a_job_by_its_function_and_number(client, handle):
    client.dispatch_async("feedmajor")

    [job] = client.list_jobs("feedmajor", jobid=handle.jobid)

    assert job.handle == handle
    assert job.funcname == "feedmajor"


def test_list_jobs_needs_a_function(client):
    with pytest.raises(TypeError, match="funcname"):
        client.list_jobs()


def test_list_jobs_finds_the_jobs_of_several_functions_and_of_a_worker_class(client):
    @register
    class Feed(Worker):
        pass

    for funcname in ("feedmajor", "feeddog", "Feed", "feedcat"):
        client.dispatch_async(funcname, funcname)

    assert args_of(client.list_jobs(["feedmajor", "feeddog"])) == ["feeddog", "feedmajor"]
    assert args_of(client.list_jobs([Feed, "feedcat"])) == ["Feed", "feedcat"]
    assert args_of(client.list_jobs(Feed)) == ["Feed"]


def test_list_jobs_finds_held_and_future_jobs_too(client):
    client.dispatch_async("feedmajor", "held")
    client.find_job_for_workers(["feedmajor"])
    client.dispatch_async("feedmajor", "future", run_after=timedelta(hours=1))

    assert args_of(client.list_jobs("feedmajor")) == ["future", "held"]


def test_list_jobs_holds_no_job(client, handle):
    client.list_jobs("feedmajor")

    assert handle.job.grabbed_until is None
    assert handle.job.grabs == 0


def test_list_jobs_takes_upper_bounds_of_the_times(client):
    client.dispatch_async("feedmajor", "early", run_after=1_000)
    client.dispatch_async("feedmajor", "late", run_after=2_000)
    held = client.dispatch_async("feedmajor", "held", run_after=1_000)
    Job.objects.filter(pk=held.jobid).update(grabbed_until=5_000)

    assert args_of(client.list_jobs("feedmajor", run_after=1_000)) == ["early", "held"]
    assert args_of(client.list_jobs("feedmajor", run_after=2_000)) == ["early", "held", "late"]
    assert args_of(client.list_jobs("feedmajor", grabbed_until=4_999)) == ["early", "late"]
    assert args_of(client.list_jobs("feedmajor", grabbed_until=5_000)) == ["early", "held", "late"]


def test_list_jobs_can_be_narrowed_by_coalesce(client):
    for coalesce in ("example.org", "example.com", None):
        client.dispatch_async("feedmajor", str(coalesce), coalesce=coalesce)

    jobs = client.list_jobs("feedmajor", coalesce="example.org")

    assert args_of(jobs) == ["example.org"]


def test_list_jobs_can_be_narrowed_by_a_prefix_in_which_every_character_is_itself(client):
    for coalesce in ("a_1", "a%1", "ax1", "A_1"):
        client.dispatch_async("feedmajor", coalesce, coalesce=coalesce)

    assert args_of(client.list_jobs("feedmajor", coalesce_prefix="a_")) == ["a_1"]
    assert args_of(client.list_jobs("feedmajor", coalesce_prefix="a%")) == ["a%1"]
    assert args_of(client.list_jobs("feedmajor", coalesce_prefix="a")) == ["a%1", "a_1", "ax1"]


def test_list_jobs_stops_at_its_limit(client):
    client.dispatch_jobs([Job(funcname="feedmajor") for _ in range(3)])

    assert len(client.list_jobs("feedmajor", limit=2)) == 2


def test_list_jobs_stops_at_the_clients_batch_size(database):
    client = TheSchwartz(batch_size=2)
    client.dispatch_jobs([Job(funcname="feedmajor") for _ in range(3)])

    assert len(client.list_jobs("feedmajor")) == 2


def test_list_jobs_stops_at_its_limit_in_each_database(two_databases):
    client = TheSchwartz()
    for alias in two_databases:
        client.dispatch_jobs([Job(funcname="feedmajor") for _ in range(3)], using=alias)

    assert len(client.list_jobs("feedmajor", limit=2)) == 4


def test_list_jobs_is_in_the_order_in_which_jobs_are_grabbed(client):
    for priority in (1, 3, 2):
        client.dispatch_async("feedmajor", priority, priority=priority)

    assert [job.arg for job in client.list_jobs("feedmajor")] == [3, 2, 1]


def test_list_jobs_leaves_out_what_lies_below_the_floor(database):
    client = TheSchwartz(floor=2)
    for priority in (1, 2, 3):
        client.dispatch_async("feedmajor", priority, priority=priority)

    assert args_of(client.list_jobs("feedmajor")) == [2, 3]
