"""The backend with what the tests ask of others beside: a list of results, performing at once."""

from django_schwartz.backend import SchwartzBackend
from django_schwartz.models import Job


class AsDummy(SchwartzBackend):
    """Tells what it enqueued, and forgets it on demand."""

    def __init__(self, alias, params):
        super().__init__(alias, params)
        self.ids = []

    @property
    def results(self):
        return [self.get_result(handle) for handle in self.ids]

    def enqueue(self, task, args, kwargs):
        result = super().enqueue(task, args, kwargs)
        self.ids.append(result.id)
        return result

    def clear(self):
        self.ids = []
        Job.objects.all().delete()


class AsImmediate(SchwartzBackend):
    """Performs what it enqueues, as a worker does."""

    def enqueue(self, task, args, kwargs):
        result = super().enqueue(task, args, kwargs)
        self.client.grab_and_work_on(result.id)
        result.refresh()
        return result


class AsDatabase(SchwartzBackend):
    """Stands in for django-tasks-db's."""
