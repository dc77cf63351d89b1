"""Bugs to plant in the queue: what finds bugs is worth something only if it finds these."""

from django.db.models import F

from django_schwartz import dialects
from django_schwartz.databases import Databases
from django_schwartz.dialects import ServerTime
from django_schwartz.dialects.one_statement import OneStatement
from django_schwartz.models import Job, JobQuerySet, outcome


def no_fence(patch):
    """A verdict counts, whoever gives it."""
    patch.setattr(Job, "as_read", lambda job: Job.objects.using(job.alias).filter(pk=job.pk))


def grabs_not_compared(patch):
    """A lease is told by its end alone, as in the original."""

    def as_read(job):
        rows = Job.objects.using(job.alias)
        return rows.filter(pk=job.pk, grabbed_until=job.leases[0])

    patch.setattr(Job, "as_read", as_read)


def no_compare_and_swap(patch):
    """What was read a moment ago is taken as still true."""

    def take(job, lease):
        rows = Job.objects.using(job.alias).filter(pk=job.pk)
        seconds = ServerTime() + lease.seconds[job.funcid]
        return rows.update(grabbed_until=seconds, grabs=F("grabs") + 1, grabbed_by=lease.grabbed_by)

    patch.setattr(dialects.Dialect, "_take", staticmethod(take))


def run_after_unchecked(patch):
    """A job is due before its time."""
    patch.setattr(JobQuerySet, "due", JobQuerySet.free)


def leases_never_end(patch):
    """A job whose worker died stays that worker's."""
    patch.setattr(JobQuerySet, "free", lambda jobs: jobs.filter(grabbed_until=0))


def leases_end_early(patch):
    """A job that somebody holds is as good as free."""
    patch.setattr(JobQuerySet, "free", lambda jobs: jobs.filter(grabbed_until__gte=0))


def no_home(patch):
    """A uniqkey goes to any database."""
    patch.setattr(Databases, "in_home_order", lambda databases, *_: databases.in_random_order())


def delay_forgotten(patch):
    """A retry comes at once."""
    release = outcome._release

    def release_at_once(job, given):
        release(job, outcome.replace(given, run_after=None))

    patch.setattr(outcome, "_release", release_at_once)


def failures_uncounted(patch):
    """A failure leaves no error behind."""
    record = outcome._record

    def record_no_error(job, given):
        return record(job, outcome.replace(given, failure=None))

    patch.setattr(outcome, "_record", record_no_error)


def lost_leases_ignored(patch):
    """A job that has left the queue is completed once more."""

    def leave_queue(job, given):
        job.as_read()._raw_delete(job.alias)
        outcome.record_exit_status(job, given)

    patch.setattr(outcome, "_leave_queue", leave_queue)


def no_fence_together(patch):
    """Jobs that are completed together leave the queue, whoever holds them."""

    def delete(_, jobs, held):
        rows = jobs.filter(pk__in=[job.pk for job in held])
        gone = set(rows.values_list("pk", flat=True))
        rows._raw_delete(jobs.db)
        return gone

    for kind in (dialects.Dialect, OneStatement, dialects.PostgreSQL):
        patch.setattr(kind, "_delete", delete)


#: Each with the shortest schedule of two workers that it makes go wrong: where a grab is one
#: statement, and where it is two; None where two workers at one job cannot meet it.
PLANTED = {
    no_fence: (
        "A looks, time passes, B looks, A completes",
        "A looks, B looks, A takes, B takes",
    ),
    grabs_not_compared: (None, "A looks, B looks, A takes, A gives back, B takes"),
    no_compare_and_swap: (None, "A looks, B looks, A takes, B takes"),
    run_after_unchecked: ("A looks, A fails, A looks", "A looks, A takes, A fails, A looks"),
    leases_never_end: (
        "A looks, time passes, B looks",
        "A looks, A takes, time passes, B looks",
    ),
    leases_end_early: ("A looks, B looks", "A looks, A takes, B looks"),
    delay_forgotten: ("A looks, A fails", "A looks, A takes, A fails"),
    failures_uncounted: ("A looks, A fails", "A looks, A takes, A fails"),
    lost_leases_ignored: (
        "A looks, time passes, B looks, A completes",
        "A looks, A takes, time passes, B looks, B takes, A completes",
    ),
}
