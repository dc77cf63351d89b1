"""The job of django_schwartz."""

from benchmarks.ledger import mark
from django_schwartz import Worker, register
from django_schwartz.models import Job


@register
class Note(Worker):
    def work(self, job: Job) -> None:
        mark(job.arg)
        job.completed()
