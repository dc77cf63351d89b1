"""dj-queue, after Rails' Solid Queue."""

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.django_peer import DjangoPeer


class DjQueue(DjangoPeer):
    name = "dj-queue"
    requirements = ("dj-queue==0.14.2", *DjangoPeer.django)
    apps = ("dj_queue",)
    backend = "dj_queue.backend.DjQueueBackend"
    left_sql = "SELECT count(*) FROM dj_queue_jobs WHERE finished_at IS NULL"

    def settings(self, variant: str) -> dict[str, Any]:
        return {**super().settings(variant), "DATABASE_ROUTERS": ["dj_queue.routers.DjQueueRouter"]}

    def options(self, variant: str) -> dict[str, Any]:
        import os

        worker: dict[str, Any] = {"processes": int(os.environ.get("SCHWARTZ_BENCH_PROCESSES", "1"))}
        if variant == "best":
            worker |= {"threads": 3, "polling_interval": 0.02, "prefetch_multiplier": 20}
        return {"workers": [worker]}

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        return [self.manage("dj_queue")]

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        from datetime import timedelta

        from django.utils import timezone

        from benchmarks.jobs.django_tasks import note

        later = timezone.now() + timedelta(seconds=delay) if delay else None
        task = note.using(run_after=later, priority=9 if urgent else 0)
        note.get_backend().enqueue_all([(task, [number], {}) for number in numbers])
