"""WorkerProcess: the scoreboard, one row for each process that performs jobs."""

from django.db import models

from django_schwartz.fields import UnixTimeField


class WorkerProcess(models.Model):
    """A process that performs jobs, as its last beat told. Only the process itself writes it."""

    #: As identity.process_name().
    name = models.CharField(max_length=255, primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = UnixTimeField(null=True)
    beat_at = UnixTimeField(default=0, db_default=0)
    #: The funcnames that it performs.
    abilities = models.JSONField(null=True)
    #: What it performs now: a list of {"handle", "funcname", "since"}, the oldest first.
    jobs = models.JSONField(null=True)
    #: Bytes of memory that it holds (its resident set).
    memory = models.BigIntegerField(null=True)
    #: Whether it wants to be told of new jobs. Its Ears write this, where that matters.
    is_idle = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name = "worker process"
        verbose_name_plural = "worker processes"

    def __str__(self) -> str:
        return self.name
