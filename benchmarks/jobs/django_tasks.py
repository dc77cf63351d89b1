"""The job of every backend of django.tasks."""

from django.tasks import task

from benchmarks.ledger import mark


@task
def note(number: int) -> None:
    mark(number)
