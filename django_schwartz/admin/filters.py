"""What lists are narrowed by. Each offers a bounded choice, and asks only for what an index has."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from django_schwartz.models import Error, FuncMap, JobQuerySet
from django_schwartz.stats import functions_without_worker

#: Functions that a filter offers.
FUNCTIONS = 200
#: The errors that are searched and grouped are the latest.
LATEST = 10_000
#: Groups that a filter offers.
GROUPS = 20

Choices = Iterable[tuple[str, str]]
NOBODY = "nobody can do it"


class FunctionFilter(SimpleListFilter):
    title = "function"
    parameter_name = "function"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        functions = FuncMap.objects.using(model_admin.get_queryset(request).db)
        return [(str(row.pk), row.funcname) for row in functions.order_by("funcname")[:FUNCTIONS]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(func_id=_number(value)) if (value := self.value()) else queryset


def _nobody_can_do(jobs: JobQuerySet) -> JobQuerySet:
    return jobs.free().of(row.funcid for row in functions_without_worker(jobs.db))


class StateFilter(SimpleListFilter):
    """By the words that a list shows as a job's state, of which a job may have several."""

    title = "state"
    parameter_name = "state"

    STATES: dict[str, Callable[[JobQuerySet], JobQuerySet]] = {
        "due": JobQuerySet.due,
        "delayed": JobQuerySet.delayed,
        "grabbed": JobQuerySet.grabbed,
        "lease expired": JobQuerySet.lapsed,
        NOBODY: _nobody_can_do,
    }

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        return [(state, state) for state in self.STATES]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        state = self.STATES.get(self.value() or "")
        return state(queryset) if state else queryset


class OutcomeFilter(SimpleListFilter):
    title = "outcome"
    parameter_name = "outcome"

    OUTCOMES = {"completed": Q(status=0), "failed": ~Q(status=0)}

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        return [(outcome, outcome) for outcome in self.OUTCOMES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(self.OUTCOMES.get(self.value() or "", Q()))


class GroupFilter(SimpleListFilter):
    """Errors of the same function and exception, the most frequent first, with their numbers."""

    title = f"group (in the latest {LATEST:,})"
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        errors = Error.objects.using(model_admin.get_queryset(request).db).order_by("-error_time")
        counts = Counter(errors.values_list("func_id", "exception")[:LATEST]).most_common(GROUPS)
        names = FuncMap.objects.names_of({funcid for (funcid, _), _ in counts}, using=errors.db)
        for (funcid, exception), count in counts:
            kind = exception.rpartition(".")[2] if exception else "no exception"
            yield f"{funcid}:{exception or ''}", f"{names[funcid]}: {kind} ({count:,})"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not (value := self.value()):
            return queryset
        funcid, _, exception = value.partition(":")
        return queryset.recent(LATEST).filter(func_id=_number(funcid), exception=exception or None)


def _number(text: str) -> int:
    """The number that a choice stands for; one that no row has for what was never offered."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
