"""Worker processes: which there are, and what they do."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString

from django_schwartz.admin.display import NOTHING, preformatted, words
from django_schwartz.admin.pages import ReadOnlyAdmin
from django_schwartz.dialects import ServerTime
from django_schwartz.logs import enumerated
from django_schwartz.models import WorkerProcess
from django_schwartz.serializers import storable_text


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
        return enumerated(_lines(process.jobs, _line_of_job)) or NOTHING

    @admin.display(description="abilities")
    def can_do(self, process: Any) -> str:
        return enumerated(_lines(process.abilities)) or NOTHING

    @admin.display(description="databases away")
    def cannot_use(self, process: Any) -> str:
        away = process.away
        return enumerated(_lines(sorted(away) if isinstance(away, dict) else away)) or NOTHING

    @admin.display(description="memory")
    def held(self, process: Any) -> str:
        # SQLite keeps anything in any column.
        return filesizeformat(process.memory) if isinstance(process.memory, int) else NOTHING

    @admin.display(description="jobs")
    def shown_jobs(self, process: Any) -> str:
        return preformatted("\n".join(_lines(process.jobs, _line_of_job)) or None)

    @admin.display(description="abilities")
    def shown_abilities(self, process: Any) -> str:
        return preformatted("\n".join(_lines(process.abilities)) or None)

    @admin.display(description="databases away")
    def shown_away(self, process: Any) -> str:
        away = process.away
        if isinstance(away, dict):
            away = [f"{alias}: {storable_text(why)}" for alias, why in sorted(away.items())]
        return preformatted("\n".join(_lines(away)) or None)


def _lines(value: object, line_of: Callable[[Any], str] = storable_text) -> list[str]:
    """A line for each of a list. None is none, and whatever else a row holds is one."""
    things = value if isinstance(value, list) else [] if value is None else [value]
    return [line_of(thing) for thing in things]


def _line_of_job(job: Any) -> str:
    if not isinstance(job, dict):
        return storable_text(job)
    funcname, handle, seconds = map(storable_text, map(job.get, ("funcname", "handle", "seconds")))
    return f"{funcname} {handle} for {seconds} s"
