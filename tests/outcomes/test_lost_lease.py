"""Only the holder's word counts: who has lost the lease changes nothing."""

from datetime import UTC, datetime

import pytest

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, Job
from tests.outcomes.verdicts import VERDICTS
from tests.rows import end_lease, rows


def by_another_client(job):
    """The lease ended, and somebody else has grabbed the job."""
    end_lease(job.handle)
    Job.objects.exclude(pk=job.pk).delete()
    assert TheSchwartz().find_job_for_workers(["Task"]) == job


def by_perl(job):
    """A Perl worker grabbed it: it changes grabbed_until, and knows of no other column."""
    Job.objects.filter(pk=job.pk).update(grabbed_until=ServerTime() + 3600)


def by_perl_and_released(job):
    """A Perl worker grabbed it and failed."""
    Job.objects.filter(pk=job.pk).update(grabbed_until=0)


def by_deletion(job):
    """Somebody else completed it, or an administrator cancelled it."""
    Job.objects.filter(pk=job.pk).delete()


LOSSES = [by_another_client, by_perl, by_perl_and_released, by_deletion]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_after_the_lease_was_lost_changes_nothing(job, told, verdict, lose):
    lose(job)
    before = rows()

    counted = VERDICTS[verdict](job)

    assert counted is False
    assert rows() == before
    assert told == [("lost", job)]
    assert job.did_something is False


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_lease_that_has_ended_unnoticed_by_others_still_counts(job, told, verdict):
    job.grabbed_until = datetime.fromtimestamp(1_700_000_000, UTC)
    Job.objects.filter(pk=job.pk).update(grabbed_until=job.grabbed_until)

    counted = VERDICTS[verdict](job)

    assert counted is True
    assert [signal[0] for signal in told] == ["finished"]


def test_a_lost_lease_is_told_once(job, told):
    by_deletion(job)

    job.completed()
    job.failed("why")

    assert told == [("lost", job)]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_failure_that_is_added_after_the_lease_was_lost_is_not_recorded(job, told, lose):
    lose(job)
    before = rows()

    job.add_failure("by the way")

    assert rows() == before
    assert told == [("lost", job)]


@pytest.mark.parametrize("lose", LOSSES)
def test_an_exit_status_that_is_set_after_the_lease_was_lost_is_not_recorded(job, told, lose):
    lose(job)
    before = rows()

    job.set_exit_status(42)

    assert rows() == before
    assert told == [("lost", job)]


def test_a_worker_that_lost_its_lease_fails_nothing_when_it_raises(perform, told):
    def work(job):
        by_deletion(job)
        job.completed()
        raise RuntimeError("too late")

    perform(work)

    assert not Error.objects.exists()
    assert [signal[0] for signal in told] == ["lost"]
