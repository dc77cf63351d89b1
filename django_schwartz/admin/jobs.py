"""Jobs: what is in the queue, and what can be done about it by hand."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, DELETION
from django.contrib.admin.utils import display_for_value
from django.db import router
from django.db.models import ExpressionWrapper, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from django_schwartz.admin.display import NOTHING, handle_of, words
from django_schwartz.admin.filters import NOBODY, FunctionFilter, StateFilter
from django_schwartz.admin.jobpage import ARG, QUEUE_FIELDS, JobPageAdmin
from django_schwartz.dialects import ServerTime
from django_schwartz.fields import UnixTimeField
from django_schwartz.models import Error, Job
from django_schwartz.worker import registry

#: Errors counted for one page of jobs.
ERRORS_COUNTED = 10_000
#: Jobs that are named before they are cancelled.
NAMED = 20


@admin.register(Job)
class JobAdmin(JobPageAdmin):
    list_display = (
        "handle",
        "function",
        "state",
        "uniqkey",
        "coalesce",
        "priority",
        "failures",
        "run_after",
        "lease",
    )
    list_filter = (FunctionFilter, StateFilter)
    actions = ("run_now", "cancel")
    heavy = ("arg", "meta")
    fieldsets = (
        (None, {"fields": (("function", "handle"), ("state", "failures"))}),
        (ARG, {"fields": ("shown_arg", "shown_meta")}),
        ("Lease", {"fields": (("grabbed_until", "grabbed_by"), ("grabs", "started_at"))}),
        ("Queue", {"fields": QUEUE_FIELDS}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        now = ExpressionWrapper(ServerTime(), output_field=UnixTimeField())
        return super().get_queryset(request).annotate(server_time=now)

    def complete(self, rows: Sequence[Any], request: HttpRequest) -> None:
        super().complete(rows, request)
        counts = _failures_of(rows) if rows else Counter()
        more = "+" if counts.total() == ERRORS_COUNTED else ""
        for job in rows:
            job.funcname = job.shown_function
            job.shown_failures = f"{counts[job.jobid]}{more}"

    def can_be_acted_on(self, job: Any) -> bool:
        return not _is_grabbed(job)

    @admin.display(description="state")
    def state(self, job: Any) -> SafeString:
        return words(*states_of(job))

    @admin.display(description="failures")
    def failures(self, job: Any) -> str:
        return str(job.shown_failures)

    @admin.display(description="lease")
    def lease(self, job: Any) -> str:
        if not job.grabbed_until:
            return NOTHING
        return f"{job.grabbed_by or '?'} until {display_for_value(job.grabbed_until, '')}"

    # Actions

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_schwartz.run_job")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_schwartz.cancel_job")

    @admin.action(permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Make jobs due that wait for their time."""
        jobids = self.selected(request, queryset)
        hastened = []
        for job in _free_jobs(jobids):
            if hasten(job):
                self.log(request, job, flag=CHANGE, message="Run now.")
                hastened.append(handle_of(job))
        self.tell(request, "Made due", hastened)
        left = len(jobids) - len(hastened)
        self.tell_left(request, left, "due already, held by a worker, or gone")

    @admin.action(permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        """Take jobs that nobody holds out of the queue, as failed, in the user's name."""
        jobids = self.selected(request, queryset)
        if "confirmed" not in request.POST:
            return self._ask_whether_to_cancel(request, jobids)
        cancelled, why = [], f"Cancelled by {request.user.get_username()}."
        for job in _free_jobs(jobids):
            if withdraw(job, why):
                self.log(request, job, flag=DELETION, message="Cancelled.")
                cancelled.append(handle_of(job))
        self.tell(request, "Cancelled", cancelled)
        self.tell_left(request, len(jobids) - len(cancelled), "held by a worker, or gone")
        return None

    def _ask_whether_to_cancel(
        self, request: HttpRequest, jobids: Sequence[int]
    ) -> TemplateResponse:
        return TemplateResponse(
            request,
            "admin/django_schwartz/job/cancel_confirmation.html",
            {
                **self.admin_site.each_context(request),
                "title": "Cancel jobs",
                "opts": self.opts,
                "jobids": jobids,
                "named": self.get_queryset(request).filter(pk__in=jobids[:NAMED]),
                "unnamed": len(jobids) - NAMED,
            },
        )


def states_of(job: Any) -> list[str]:
    """The words for the state of a job that was read with the server's time."""
    if _is_grabbed(job):
        return ["grabbed"]
    is_delayed = job.run_after is not None and job.run_after > job.server_time
    states = ["delayed" if is_delayed else "due"]
    if job.grabbed_until is not None:
        states.append("lease expired")
    if job.funcname not in registry:
        states.append(NOBODY)
    return states


def _is_grabbed(job: Any) -> bool:
    return job.grabbed_until is not None and job.grabbed_until > job.server_time


def _failures_of(jobs: Sequence[Job]) -> Counter[int]:
    errors = Error.objects.using(jobs[0].alias).filter(jobid__in=[job.jobid for job in jobs])
    return Counter(errors.values_list("jobid", flat=True)[:ERRORS_COUNTED])


def _free_jobs(jobids: Sequence[int]) -> Iterator[Job]:
    """Those of the jobs that nobody holds, read one by one: their args may be large."""
    for jobid in jobids:
        yield from Job.objects.using(router.db_for_write(Job)).free().filter(pk=jobid)


def hasten(job: Job) -> bool:
    """Make a job due that waits for its time; False when it does not, or was grabbed since."""
    return bool(job.as_read().delayed().update(run_after=ServerTime()))


def withdraw(job: Job, why: str) -> bool:
    """Take a free job out of the queue, as failed; False when it was grabbed since it was read."""
    job.grabbed_by = None  # whoever held it last has no part in this
    return job.permanent_failure(why)
