"""django-tasks-db, the reference backend of django.tasks."""

from collections.abc import Sequence

from benchmarks.peers.django_peer import DjangoPeer


class DjangoTasksDb(DjangoPeer):
    name = "django-tasks-db"
    requirements = ("django-tasks-db==0.13.0", *DjangoPeer.django)
    apps = ("django_tasks_db",)
    backend = "django_tasks_db.DatabaseBackend"
    has_bulk = False
    left_sql = (
        "SELECT count(*) FROM django_tasks_database_dbtaskresult"
        " WHERE status IN ('READY', 'RUNNING')"
    )

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        options = {"default": [], "best": ["--interval=0.1", "--verbosity=0"]}[variant]
        return [self.manage("db_worker", *options)] * processes

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        """Fill the queue as its enqueue() would: it has no way of its own to do so."""
        from datetime import timedelta

        from django.utils import timezone
        from django_tasks_db.models import DBTaskResult, get_date_max

        from benchmarks.jobs.django_tasks import note

        later = timezone.now() + timedelta(seconds=delay) if delay else get_date_max()
        DBTaskResult.objects.bulk_create(
            DBTaskResult(
                args_kwargs={"args": [number], "kwargs": {}},
                priority=9 if urgent else 0,
                task_path=note.module_path,
                queue_name=note.queue_name,
                backend_name=note.backend,
                run_after=later,
            )
            for number in numbers
        )
