"""WorkerProcess: the scoreboard, one row for each process that performs jobs."""

from django.db import models

from django_schwartz.dialects import ServerTime
from django_schwartz.fields import UnixTimeField, unix_seconds
from django_schwartz.models.meta import MetaField

#: Seconds without a beat after which a process is taken to be gone.
GONE_SECONDS = 60
#: Seconds without a beat after which its row is not kept any longer.
FORGOTTEN_SECONDS = 600


class WorkerProcessQuerySet(models.QuerySet["WorkerProcess"]):
    def living(self) -> "WorkerProcessQuerySet":
        """Processes whose last beat is not long ago."""
        return self.filter(beat_at__gte=ServerTime() - GONE_SECONDS)

    def gone(self) -> "WorkerProcessQuerySet":
        """Processes whose last beat is long ago."""
        return self.filter(beat_at__lt=ServerTime() - GONE_SECONDS)

    def forgotten(self) -> "WorkerProcessQuerySet":
        """Processes that were gone for so long that nobody asks any more."""
        return self.filter(beat_at__lt=ServerTime() - FORGOTTEN_SECONDS)


class WorkerProcess(models.Model):
    """A process that performs jobs, as its last beat told. Only the process itself writes it."""

    #: As identity.process_name().
    name = models.CharField(max_length=255, primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = UnixTimeField(null=True)
    beat_at = UnixTimeField(default=0, db_default=0)
    #: The funcnames that it performs.
    abilities = MetaField(null=True)
    #: What it performs: a list of {"handle", "funcname", "seconds"}, the longest first.
    jobs = MetaField(null=True)
    #: Why it cannot use other queue databases: what went wrong, by alias.
    away = MetaField(null=True)
    #: Bytes of memory that it holds.
    memory = models.BigIntegerField(null=True)
    #: Whether it wants to be told of new jobs. Its Ears write this, where that matters.
    is_idle = models.BooleanField(default=False, db_default=False)

    objects = WorkerProcessQuerySet.as_manager()

    class Meta:
        verbose_name = "worker process"
        verbose_name_plural = "worker processes"

    def __str__(self) -> str:
        return self.name

    def is_gone(self, now: int) -> bool:
        """Whether it beat too long ago, at that time in UNIX seconds of the server."""
        return unix_seconds(self.beat_at or 0) < now - GONE_SECONDS
