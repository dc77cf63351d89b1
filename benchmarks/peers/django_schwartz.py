"""This project, from the checkout."""

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.django_peer import DjangoPeer
from benchmarks.places import ROOT

#: What `runschwartz` is started with, beside the number of processes. Its defaults are to be near
#: its best.
OPTIONS: dict[str, list[str]] = {"default": [], "best": ["--verbosity=0"]}


class DjangoSchwartz(DjangoPeer):
    name = "django_schwartz"
    requirements = DjangoPeer.django
    apps = ("django_schwartz", "benchmarks.jobs.schwartz")
    left_sql = "SELECT count(*) FROM django_schwartz_job"

    def settings(self, variant: str) -> dict[str, Any]:
        return {}

    def connection_age(self, variant: str) -> int:
        return 0  # Django's default: the runner keeps a connection of its own

    def versions(self) -> dict[str, str]:
        about = (ROOT / "django_schwartz" / "__init__.py").read_text()
        version = about.partition('__version__ = "')[2].partition('"')[0]
        return {"django_schwartz": version, **super().versions()}

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        return [self.manage("runschwartz", *OPTIONS[variant], f"--processes={processes}")]

    def reset(self) -> None:
        from django.core.management import call_command
        from django.db import connections

        for alias in connections:
            call_command("migrate", database=alias, verbosity=0)

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        from datetime import timedelta

        from django_schwartz.client import TheSchwartz
        from django_schwartz.models import Job

        fields = {"run_after": timedelta(seconds=delay)} if delay else {}
        priority = 9 if urgent else None
        TheSchwartz().dispatch_jobs(
            Job(funcname="Note", arg=number, priority=priority, **fields) for number in numbers
        )

    def enqueue(self, number: int) -> None:
        from django_schwartz.client import TheSchwartz

        TheSchwartz().dispatch_async("Note", number)
