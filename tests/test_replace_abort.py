"""A replacement that cannot be queued replaces nothing. After t/replace-abort.t."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.exceptions import DuplicateJob
from django_schwartz.models import ExitStatus, Job
from tests.rows import come_due, row_of, rows


@pytest.fixture(autouse=True)
def _workers():
    @register
    class Replace(Worker):
        """Be replaced by a job with the uniqkey of the arg."""

        max_retries = 1
        retry_delay = 60
        keep_exit_status_for = 600

        def work(self, job):
            job.replace_with(
                Job(funcname="Child", arg="first"), Job(funcname="Child", uniqkey=job.arg)
            )

    @register
    class Child(Worker):
        def work(self, job):
            job.completed()


@pytest.fixture
def parent(client):
    """The job that wants to be replaced by one whose uniqkey is queued already."""
    client.dispatch_async("Child", uniqkey="three")
    client.can_do("Replace")
    return client.dispatch_async("Replace", "three")


def test_the_job_stays_and_has_failed(client, parent):
    client.work_once()

    assert parent.is_pending
    assert parent.exit_status is None
    assert parent.failures == 1
    assert parent.failure_log[0].startswith("DuplicateJob: Child with uniqkey 'three' is queued")


def test_none_of_the_replacements_is_queued(client, parent):
    client.work_once()

    assert Job.objects.filter(uniqkey="three").count() == 1
    assert len(client.list_jobs("Child")) == 1


def test_the_retry_succeeds_when_the_uniqkey_is_free(client, parent):
    client.work_once()
    client.can_do("Child")
    client.work_once()
    come_due(parent)

    client.work_once()

    assert not parent.is_pending
    assert parent.exit_status == 0
    assert len(client.list_jobs("Child")) == 2


def test_the_worker_may_go_on_with_the_job_as_if_it_had_not_tried(client, parent):
    job = client.find_job_for_workers(["Replace"])

    with pytest.raises(DuplicateJob):
        job.replace_with(Job(funcname="Child", uniqkey="three"))

    assert job.did_something is False
    assert job.completed() is True
    assert parent.exit_status == 0


def test_no_row_is_changed(client, parent):
    job = client.find_job_for_workers(["Replace"])
    before = rows()

    with pytest.raises(DuplicateJob):
        job.replace_with(Job(funcname="Child", arg=1), Job(funcname="Child", uniqkey="three"))

    assert rows() == before


def test_two_replacements_of_one_uniqkey_are_refused(client, parent):
    job = client.find_job_for_workers(["Replace"])
    before = rows()
    twins = [Job(funcname="Child", uniqkey="four"), Job(funcname="Child", uniqkey="four")]

    with pytest.raises(DuplicateJob, match="'four'"):
        job.replace_with(*twins)

    assert rows() == before


def test_a_replacement_that_cannot_be_stored_is_refused(client, parent):
    job = client.find_job_for_workers(["Replace"])
    before = rows()

    with pytest.raises(TypeError, match="JSON"):
        job.replace_with(Job(funcname="Child", arg=1), Job(funcname="Child", arg=object()))

    assert rows() == before


def test_a_replacement_may_take_the_uniqkey_of_the_job_it_replaces(client):
    handle = client.dispatch_async("Replace", uniqkey="mine")
    job = client.find_job_for_workers(["Replace"])

    replaced = job.replace_with(Job(funcname="Replace", uniqkey="mine", arg="next"))

    assert replaced is True
    assert not handle.is_pending
    assert [job.arg for job in Job.objects.filter(uniqkey="mine")] == ["next"]


def test_a_lost_lease_replaces_nothing(client, parent):
    job = client.find_job_for_workers(["Replace"])
    Job.objects.filter(pk=job.pk).update(grabs=2)
    before = rows()

    replaced = job.replace_with(Job(funcname="Child"))

    assert replaced is False
    assert rows() == before


def test_a_retry_may_replace_with_the_same_objects(client, parent):
    children = [Job(funcname="Child", arg="first"), Job(funcname="Child", uniqkey="three")]
    job = client.find_job_for_workers(["Replace"])
    with pytest.raises(DuplicateJob):
        job.replace_with(*children)
    Job.objects.filter(uniqkey="three").delete()

    replaced = job.replace_with(*children)

    assert replaced is True
    assert [row_of(child.handle)["uniqkey"] for child in children] == [None, "three"]
    assert ExitStatus.objects.get(pk=parent.jobid).status == 0
