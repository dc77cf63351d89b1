"""The tables, and what can be done to their rows."""

from django_schwartz.models.funcmap import FuncMap
from django_schwartz.models.handle import JobHandle
from django_schwartz.models.history import Error, ExitStatus, Failure
from django_schwartz.models.job import Job
from django_schwartz.models.outcome import Outcome, Verdict
from django_schwartz.models.queue import JobQuerySet

__all__ = [
    "Error",
    "ExitStatus",
    "Failure",
    "FuncMap",
    "Job",
    "JobHandle",
    "JobQuerySet",
    "Outcome",
    "Verdict",
]
