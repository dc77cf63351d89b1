"""Functions: who performs them, and how much of their work waits."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_schwartz.admin.display import NOTHING
from django_schwartz.admin.pages import ReadOnlyAdmin
from django_schwartz.models import FuncMap
from django_schwartz.stats import COUNTED, jobs_queued
from django_schwartz.worker import registry


@admin.register(FuncMap)
class FuncMapAdmin(ReadOnlyAdmin):
    list_display = ("funcname", "worker", "queued", "errors", "exit_statuses")
    fields = ("funcname", "funcid", "worker", "queued", "errors", "exit_statuses")
    ordering = ["funcname"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(jobs=jobs_queued())

    def complete(self, rows: Sequence[Any], request: HttpRequest) -> None:
        """There is nothing to add."""

    @admin.display(description="worker registered here")
    def worker(self, function: Any) -> str:
        if function.funcname not in registry:
            return NOTHING
        worker = registry[function.funcname]
        return f"{worker.__module__}.{worker.__qualname__}"

    @admin.display(description="queued jobs")
    def queued(self, function: Any) -> SafeString:
        number = f"{COUNTED:,}+" if function.jobs >= COUNTED else str(function.jobs)
        return self._link("job", function, number)

    @admin.display(description="errors")
    def errors(self, function: Any) -> SafeString:
        return self._link("error", function, "errors")

    @admin.display(description="exit statuses")
    def exit_statuses(self, function: Any) -> SafeString:
        return self._link("exitstatus", function, "exit statuses")

    def _link(self, model_name: str, function: FuncMap, text: str) -> SafeString:
        """A link to the list of what another table has of the function."""
        name = f"admin:django_schwartz_{model_name}_changelist"
        url = reverse(name, current_app=self.admin_site.name)
        return format_html('<a href="{}?function={}">{}</a>', url, function.funcid, text)
