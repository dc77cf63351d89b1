"""JobHandle: what a dispatch gives, and what is left of a job when it is gone."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.db import connections

from django_schwartz.exceptions import InvalidHandle
from django_schwartz.models.history import Error, ErrorQuerySet, ExitStatus

if TYPE_CHECKING:
    from django_schwartz.models.job import Job
    from django_schwartz.models.queue import JobQuerySet

#: Of the largest number that a database gives a job.
DIGITS = 19


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job's database and number, to ask for it later. str() is "alias-jobid"."""

    alias: str
    jobid: int
    #: Whether the dispatch that gave this handle found the job queued already.
    is_duplicate: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.alias}-{self.jobid}"

    @classmethod
    def from_string(cls, text: str) -> Self:
        """The handle that str() made. Raises InvalidHandle, for an unknown database too."""
        alias, dash, jobid = str(text).rpartition("-")
        if not dash or not jobid.isdecimal() or not jobid.isascii() or len(jobid) > DIGITS:
            raise InvalidHandle(f'{text!r} is no job handle: they look like "default-42".')
        if alias not in connections:
            raise InvalidHandle(f"{text!r} is of no database here: DATABASES has no {alias!r}.")
        return cls(alias, int(jobid))

    @property
    def job(self) -> "Job | None":
        """The job, or None when it has left the queue."""
        return self._rows.first()

    @property
    def is_pending(self) -> bool:
        """Whether the job is still in the queue."""
        return self._rows.exists()

    @property
    def _rows(self) -> "JobQuerySet":
        # Found also in a test whose `available_apps` leave this one out.
        model: Any = apps.get_registered_model("django_schwartz", "Job")
        jobs: JobQuerySet = model._default_manager.all()
        return jobs.using(self.alias).filter(pk=self.jobid)

    @property
    def exit_status(self) -> int | None:
        """The status with which the job left the queue; None while queued, and if not kept."""
        statuses = ExitStatus.objects.using(self.alias).filter(pk=self.jobid)
        return statuses.values_list("status", flat=True).first()

    @property
    def failure_log(self) -> list[str]:
        """The messages of the job's failures, oldest first."""
        return list(self._errors.values_list("message", flat=True))

    @property
    def failures(self) -> int:
        """How often a worker grabbed the job and failed to complete it."""
        return self._errors.count()

    @property
    def _errors(self) -> ErrorQuerySet:
        return Error.objects.using(self.alias).of(self.jobid)
