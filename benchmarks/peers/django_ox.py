"""django-ox."""

from collections.abc import Sequence

from benchmarks.peers.django_peer import DjangoPeer


class DjangoOx(DjangoPeer):
    name = "django-ox"
    requirements = ("django-ox==1.9.1", *DjangoPeer.django)
    apps = ("django_ox",)
    backend = "django_ox.backend.OxBackend"
    left_sql = "SELECT count(*) FROM django_ox_oxtask WHERE status IN ('READY', 'RUNNING')"

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        best = ["--interval=0.1", "--concurrency=4", "--verbosity=0"]
        options = {"default": [], "best": best}[variant]
        return [self.manage("ox_worker", f"--processes={processes}", *options)]

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        from datetime import timedelta

        from django.utils import timezone
        from django_ox.bulk import enqueue_many

        from benchmarks.jobs.django_tasks import note

        later = timezone.now() + timedelta(seconds=delay) if delay else None
        task = note.using(run_after=later, priority=9 if urgent else 0)
        enqueue_many(task, [((number,), {}) for number in numbers])
