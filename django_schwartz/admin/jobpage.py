"""What jobs and exit statuses share: a job's page, the search for a job, and acting on jobs."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from django_schwartz.admin.display import handle_of, pretty_arg, pretty_json
from django_schwartz.admin.pages import ReadOnlyAdmin
from django_schwartz.logs import enumerated
from django_schwartz.models import Error, FuncMap, JobHandle

#: Errors shown of one job: the latest.
ERRORS_SHOWN = 50
#: Rows that one action is done to. Django takes no form of more than a thousand fields.
AT_A_TIME = 500
#: Functions named in a search, so that the index on function and uniqkey serves it.
FUNCTIONS = 1000
#: The fieldset that needs the permission "view_job_args".
ARG = "Arg"
#: What the dispatch said of the job.
QUEUE_FIELDS = (
    ("uniqkey", "coalesce"),
    ("priority", "queue_name"),
    ("run_after", "scheduled_for"),
    ("dispatched_at", "insert_time"),
)


class JobPageAdmin(ReadOnlyAdmin):
    search_fields = ("uniqkey",)  # that there is a search; get_search_results makes it
    search_help_text = (
        "A job's number or handle (default-42), its uniqkey (user-7), or how that begins (user-*)."
    )

    @admin.display(description="handle")
    def handle(self, row: Any) -> str:
        return handle_of(row)

    @admin.display(description="arg")
    def shown_arg(self, row: Any) -> str:
        return pretty_arg(row)

    @admin.display(description="meta")
    def shown_meta(self, row: Any) -> str:
        return pretty_json(row.meta)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if request.user.has_perm("django_schwartz.view_job_args"):
            return fieldsets
        return [fieldset for fieldset in fieldsets if fieldset[0] != ARG]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs["obj"]
        if request.user.has_perm("django_schwartz.view_error"):
            errors = Error.objects.using(row._state.db).of(row.jobid).reverse()
            context["attempts"], context["most_attempts"] = errors[:ERRORS_SHOWN], ERRORS_SHOWN
        if self.can_be_acted_on(row):
            names = dict(self.get_action_choices(request, default_choices=[]))
            context["verbs"] = [(name, capfirst(name.replace("_", " "))) for name in names]
        return super().render_change_form(request, context, *args, **kwargs)

    def can_be_acted_on(self, row: Any) -> bool:
        """Whether the page of the row offers the actions."""
        raise NotImplementedError

    # Finding a job

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        jobid = jobid_of(search_term, using=queryset.db)
        by_jobid = Q() if jobid is None else Q(pk=jobid)
        return queryset.filter(by_jobid | _by_uniqkey(search_term, using=queryset.db)), False

    # Acting on jobs

    def selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[int]:
        """The jobids of what an action was asked for, the first AT_A_TIME of them."""
        jobids = list(queryset.values_list("pk", flat=True)[: AT_A_TIME + 1])
        if len(jobids) > AT_A_TIME:
            told = f"This is done to {AT_A_TIME} at a time: the first of them were taken."
            self.message_user(request, told, messages.WARNING)
        return jobids[:AT_A_TIME]

    def tell(
        self,
        request: HttpRequest,
        what: str,
        jobs: Sequence[str],
        *,
        level: int = messages.SUCCESS,
    ) -> None:
        """Tell the user what became of which jobs; nothing when of none."""
        if jobs:
            self.message_user(request, f"{what}: {enumerated(jobs)}.", level)

    def tell_left(self, request: HttpRequest, number: int, why: str) -> None:
        """Tell the user of how many jobs nothing became, and why."""
        if number:
            jobs = "1 job was" if number == 1 else f"{number} jobs were"
            self.message_user(request, f"{jobs} left alone: {why}.", messages.WARNING)

    def log(self, request: HttpRequest, row: Any, *, flag: int, message: str) -> None:
        """Write down in the admin's log who did what to the row."""
        who: Any = request.user.pk
        LogEntry.objects.log_actions(who, [row], flag, change_message=message)


def jobid_of(text: str, *, using: str) -> int | None:
    """The job that a number or a handle is of; None for other text, and of another database."""
    text = text.strip()
    try:
        handle = JobHandle.from_string(text if "-" in text else f"{using}-{text}")
    except ValueError:
        return None
    return handle.jobid if handle.alias == using else None


def _by_uniqkey(text: str, *, using: str) -> Q:
    if text.endswith("*"):
        return Q(uniqkey__startswith=text.removesuffix("*"))
    funcids = FuncMap.objects.using(using).values_list("pk", flat=True)[: FUNCTIONS + 1]
    if len(funcids) > FUNCTIONS:
        return Q(uniqkey=text)
    return Q(uniqkey=text, func_id__in=list(funcids))
