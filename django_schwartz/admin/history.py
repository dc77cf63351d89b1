"""Exit statuses and errors: how jobs ended, and why attempts at them failed."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.db import router
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_schwartz.admin.display import (
    NOTHING,
    handle_of,
    link_to,
    preformatted,
    pretty_json,
    words,
)
from django_schwartz.admin.filters import LATEST, FunctionFilter, GroupFilter, OutcomeFilter
from django_schwartz.admin.jobpage import ARG, QUEUE_FIELDS, JobPageAdmin, jobid_of
from django_schwartz.admin.pages import ReadOnlyAdmin
from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import SchwartzError
from django_schwartz.models import Error, ExitStatus, FuncMap, Job, JobHandle
from django_schwartz.models.arg import stored_arg
from django_schwartz.perl_text import PerlTextField

#: What a job has of the failed one that it repeats, beside the function and the arg.
KEPT = ("uniqkey", "coalesce", "priority", "queue_name", "meta")
#: What becomes of a failed job that is to be dispatched again.
NEW = "Dispatched again"
QUEUED = "Not dispatched, as one with the uniqkey is queued already"
REFUSED = "Not dispatched"
#: Characters of a message that the list of errors reads.
BEGINNING = 200


@admin.register(ExitStatus)
class ExitStatusAdmin(JobPageAdmin):
    list_display = ("handle", "function", "outcome", "uniqkey", "completion_time", "seconds")
    list_filter = (FunctionFilter, OutcomeFilter)
    actions = ("dispatch_again",)
    heavy = ("arg", "result", "meta")
    fieldsets = (
        (None, {"fields": (("function", "handle"), ("outcome", "completion_time"))}),
        (ARG, {"fields": ("shown_arg", "shown_result", "shown_meta")}),
        ("Work", {"fields": (("started_at", "seconds"), ("worker_id", "delete_after"))}),
        ("Queue", {"fields": QUEUE_FIELDS}),
    )

    @admin.display(description="outcome")
    def outcome(self, row: Any) -> SafeString:
        word = "failed" if row.status else "completed"
        return format_html("{} {}", words(word), row.status)

    @admin.display(description="runtime")
    def seconds(self, row: Any) -> str:
        return NOTHING if row.runtime is None else f"{row.runtime:.3f} s"

    @admin.display(description="result")
    def shown_result(self, row: Any) -> str:
        return pretty_json(row.result)

    def can_be_acted_on(self, row: Any) -> bool:
        return bool(row.status)

    def has_dispatch_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_schwartz.dispatch_again")

    @admin.action(permissions=["dispatch_again"])
    def dispatch_again(self, request: HttpRequest, queryset: QuerySet[ExitStatus]) -> None:
        """Put jobs like those that failed into the queue."""
        jobids = self.selected(request, queryset)
        done: dict[str, list[str]] = {NEW: [], QUEUED: [], REFUSED: []}
        for row in _failed(jobids):
            what, job = self._dispatch_again(request, row)
            done[what].append(job)
        self.tell(request, NEW, done[NEW])
        self.tell(request, QUEUED, done[QUEUED], level=messages.WARNING)
        self.tell(request, REFUSED, done[REFUSED], level=messages.ERROR)
        left = len(jobids) - sum(map(len, done.values()))
        self.tell_left(request, left, "only what failed is dispatched again")

    def _dispatch_again(self, request: HttpRequest, row: ExitStatus) -> tuple[str, str]:
        try:
            handle = dispatch_like(row)
        except (SchwartzError, TypeError, ValueError) as error:
            return REFUSED, f"{handle_of(row)} ({error})"
        if handle.is_duplicate:
            return QUEUED, f"{handle_of(row)} as {handle}"
        self.log(request, row, flag=CHANGE, message=f"Dispatched again as {handle}.")
        return NEW, f"{handle_of(row)} as {handle}"


def _failed(jobids: Sequence[int]) -> Iterator[ExitStatus]:
    """Those of the jobs that failed, read one by one: their args may be large."""
    rows = ExitStatus.objects.using(router.db_for_write(ExitStatus)).exclude(status=0)
    for jobid in jobids:
        yield from rows.filter(pk=jobid)


def dispatch_like(row: ExitStatus) -> JobHandle:
    """Put a job into the queue, to the same database, that is like the one which ended so.

    Raises ValueError when too little is known of that one, and what a dispatch raises.
    """
    function = FuncMap.objects.using(row._state.db).filter(pk=row.func_id).first()
    if function is None or row.run_after is None:
        raise ValueError("nothing is known of it but how it ended")
    kept: dict[str, Any] = {name: getattr(row, name) for name in KEPT}
    handle: JobHandle = TheSchwartz().dispatch_async(
        function.funcname, stored_arg(row), using=row._state.db, **kept
    )
    return handle


@admin.register(Error)
class ErrorAdmin(ReadOnlyAdmin):
    list_display = ("error_time", "function", "job", "summary")
    list_filter = (FunctionFilter, GroupFilter)
    ordering = ["-error_time", "-pk"]
    heavy = ("message", "traceback")
    fields = (
        ("function", "job"),
        ("error_time", "worker_id"),
        "exception",
        "shown_message",
        "shown_traceback",
    )
    search_fields = ("message",)  # that there is a search; get_search_results makes it
    search_help_text = (
        f"Words of the message or the exception, in the latest {LATEST:,} errors;"
        " or the handle of a job (default-42)."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        beginning = Left("message", BEGINNING, output_field=PerlTextField())
        return super().get_queryset(request).annotate(beginning=beginning)

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not (words := search_term.split()):
            return queryset, False
        jobid = jobid_of(search_term, using=queryset.db) if "-" in search_term else None
        if jobid is not None:
            return queryset.filter(jobid=jobid), False
        queryset = queryset.recent(LATEST)
        for word in words:
            queryset = queryset.filter(Q(message__icontains=word) | Q(exception__icontains=word))
        return queryset, False

    def complete(self, rows: Sequence[Any], request: HttpRequest) -> None:
        """Find the pages of the errors' jobs: of the queued, else of how they ended."""
        super().complete(rows, request)
        jobids = {error.jobid for error in rows}
        pages: dict[int, str] = {}
        for model in (ExitStatus, Job):
            if rows and request.user.has_perm(f"django_schwartz.view_{model._meta.model_name}"):
                found = model._default_manager.using(rows[0]._state.db).filter(pk__in=jobids)
                pages |= {
                    row.jobid: link_to(row, site=self.admin_site.name) for row in found.only("pk")
                }
        for error in rows:
            error.page_of_job = pages.get(error.jobid)

    @admin.display(description="job")
    def job(self, error: Any) -> str:
        if error.page_of_job is None:
            return handle_of(error)
        return format_html('<a href="{}">{}</a>', error.page_of_job, handle_of(error))

    @admin.display(description="message")
    def summary(self, error: Any) -> str:
        return str(error.beginning).partition("\n")[0]

    @admin.display(description="message")
    def shown_message(self, error: Any) -> str:
        return preformatted(error.message)

    @admin.display(description="traceback")
    def shown_traceback(self, error: Any) -> str:
        return preformatted(error.traceback)
