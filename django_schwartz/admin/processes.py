"""Worker processes: which there are, and what they do."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString

from django_schwartz.admin.display import NOTHING, enumerated, preformatted, words
from django_schwartz.admin.pages import ReadOnlyAdmin
from django_schwartz.dialects import ServerTime
from django_schwartz.models import WorkerProcess


@admin.register(WorkerProcess)
class WorkerProcessAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "state",
        "performs",
        "can_do",
        "cannot_use",
        "held",
        "started_at",
        "beat_at",
    )
    fields = (
        ("host", "pid"),
        ("state", "held"),
        ("started_at", "beat_at"),
        "shown_jobs",
        "shown_abilities",
        "shown_away",
    )
    ordering = ["name"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(now=ServerTime())

    def complete(self, rows: Sequence[Any], request: HttpRequest) -> None:
        """There is nothing to add."""

    @admin.display(description="state")
    def state(self, process: Any) -> SafeString:
        if process.is_gone(process.now):
            return words("gone")
        return words("working" if process.jobs else "idle")

    @admin.display(description="jobs")
    def performs(self, process: Any) -> str:
        return enumerated([_line(job) for job in process.jobs or []]) or NOTHING

    @admin.display(description="abilities")
    def can_do(self, process: Any) -> str:
        return enumerated([str(name) for name in process.abilities or []]) or NOTHING

    @admin.display(description="databases away")
    def cannot_use(self, process: Any) -> str:
        return enumerated(sorted(process.away or {})) or NOTHING

    @admin.display(description="memory")
    def held(self, process: Any) -> str:
        return NOTHING if process.memory is None else filesizeformat(process.memory)

    @admin.display(description="jobs")
    def shown_jobs(self, process: Any) -> str:
        return preformatted("\n".join(_line(job) for job in process.jobs or []) or None)

    @admin.display(description="abilities")
    def shown_abilities(self, process: Any) -> str:
        return preformatted("\n".join(map(str, process.abilities or [])) or None)

    @admin.display(description="databases away")
    def shown_away(self, process: Any) -> str:
        lines = [f"{alias}: {why}" for alias, why in sorted((process.away or {}).items())]
        return preformatted("\n".join(lines) or None)


def _line(job: dict[str, Any]) -> str:
    return f"{job.get('funcname')} {job.get('handle')} for {job.get('seconds')} s"
