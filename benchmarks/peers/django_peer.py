"""What the peers that are Django apps have in common."""

from collections.abc import Sequence
from typing import Any, ClassVar

from benchmarks.peers.peer import PSYCOPG, Peer


class DjangoPeer(Peer):
    """An app with a backend for django.tasks. Best includes connections that are kept."""

    django = ("Django==6.1.*", PSYCOPG)
    apps: ClassVar[Sequence[str]] = ()
    backend: ClassVar[str] = ""

    def settings(self, variant: str) -> dict[str, Any]:
        """Return settings beside the database and the apps."""
        return {"TASKS": {"default": {"BACKEND": self.backend, "OPTIONS": self.options(variant)}}}

    def options(self, variant: str) -> dict[str, Any]:
        return {}

    def connection_age(self, variant: str) -> int | None:
        return None if variant == "best" else 0

    def environment(self, variant: str) -> dict[str, str]:
        return {"DJANGO_SETTINGS_MODULE": "benchmarks.django_settings"}

    def manage(self, *arguments: str) -> list[str]:
        return [self.bin("python"), "-m", "django", *arguments]

    def open(self) -> None:
        import django

        django.setup()

    def reset(self) -> None:
        from django.core.management import call_command

        call_command("migrate", verbosity=0)

    def enqueue(self, number: int) -> None:
        from benchmarks.jobs.django_tasks import note

        note.enqueue(number)
