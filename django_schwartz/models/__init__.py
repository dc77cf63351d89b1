"""The tables, and what can be done to their rows."""

from django_schwartz.models.funcmap import FuncMap
from django_schwartz.models.handle import JobHandle
from django_schwartz.models.history import Error, ExitStatus, ExitStatusQuerySet, Failure
from django_schwartz.models.job import Holder, Job, OfThisProcess
from django_schwartz.models.outcome import Outcome, Settlement, Verdict
from django_schwartz.models.queue import JobQuerySet
from django_schwartz.models.workerprocess import WorkerProcess

__all__ = [
    "Error",
    "ExitStatus",
    "ExitStatusQuerySet",
    "Failure",
    "FuncMap",
    "Holder",
    "Job",
    "JobHandle",
    "JobQuerySet",
    "OfThisProcess",
    "Outcome",
    "Settlement",
    "Verdict",
    "WorkerProcess",
]
