"""Rows written as time, or somebody else, writes them: what the tests do instead of waiting."""

from contextlib import contextmanager

from django.db import connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from django_schwartz.dialects import ServerTime, dialect_of
from django_schwartz.fields import UnixMicrosecondField
from django_schwartz.models import Error, ExitStatus, Job

#: The statements of a grab by the database's own dialect, and of a look that finds nothing.
GRAB = {
    "sqlite": ["UPDATE"],
    "postgresql": ["UPDATE"],
    "mysql": ["SELECT", "UPDATE", "SELECT"],
}
LOOK = {database: grab[:1] for database, grab in GRAB.items()}


def row_of(handle):
    """Every column of the job's row, as it is in the database; None when it has left the queue."""
    return Job.objects.filter(pk=handle.jobid).values().first()


def rows():
    """All rows of all tables that an outcome writes."""
    return {
        model: list(model.objects.order_by("pk").values()) for model in (Job, Error, ExitStatus)
    }


def end_lease(handle):
    """The time of the job's lease is over."""
    Job.objects.filter(pk=handle.jobid).update(grabbed_until=ServerTime() - 1)


def lease_elsewhere(handle, *, seconds=60):
    """Another worker holds the job."""
    Job.objects.filter(pk=handle.jobid).update(
        grabbed_until=ServerTime() + seconds, grabs=F("grabs") + 1, grabbed_by="elsewhere:1:1"
    )


def come_due(*handles):
    """The time that the jobs wait for has come."""
    pks = [handle.jobid for handle in handles]
    Job.objects.filter(pk__in=pks).update(run_after=ServerTime())


def server_moment(alias):
    """The database's time, as exactly as it tells it."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {dialect_of(connections[alias]).now_us}", [])
        return UnixMicrosecondField().moment(cursor.fetchone()[0])


#: What wakes the idle workers, if there are any, after a job has become free.
WAKE = {"sqlite": [], "postgresql": ["SELECT"], "mysql": []}


@contextmanager
def statements(alias):
    """The first word of each statement that the block sends to the database."""
    words = []
    with CaptureQueriesContext(connections[alias]) as captured:
        yield words
    words += [query["sql"].split()[0].lstrip("(") for query in captured.captured_queries]
