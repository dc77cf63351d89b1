"""Pages that only read, and ask the database for no more than they show."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from django_schwartz.models import FuncMap

#: Rows that a list counts, and leads to by its page numbers.
COUNTED = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to COUNTED, and gives no page beyond."""

    @property
    def count(self) -> int:
        return min(self._counted, COUNTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than are counted."""
        return self._counted > COUNTED

    @property
    def count_text(self) -> str:
        return f"{self.count:,}+" if self.is_cut else f"{self.count:,}"

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: COUNTED + 1].count())


class Page(ChangeList):
    """One page of a list, in the order that an index serves, and its rows completed."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        return list(self.model_admin.get_ordering(request))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list[: self.list_max_show_all])
        model_admin: Any = self.model_admin
        model_admin.complete(rows, request)
        self.result_list = rows


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists rows and shows one, to those who may view them. Nobody adds, changes or deletes any."""

    paginator = BoundedPaginator
    ordering = ["-pk"]
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    #: Columns that may be large: read only for the one row whose page shows them.
    heavy: Sequence[str] = ()

    class Media:
        css = {"all": ["django_schwartz/admin.css"]}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only the filters' own: any other could scan the table, or guess at what an arg holds."""
        filters: Any = self.get_list_filter(request)
        return lookup in {each.parameter_name for each in filters}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Page

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*self.heavy)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.complete([row], request)
        return row

    def complete(self, rows: Sequence[Any], request: HttpRequest) -> None:
        """Put on the rows what other tables know of them, in as many queries as for one."""
        if rows:
            names = FuncMap.objects.names_of({row.func_id for row in rows}, using=rows[0]._state.db)
            for row in rows:
                row.shown_function = names[row.func_id]

    @admin.display(description="function")
    def function(self, row: Any) -> str:
        return str(row.shown_function)
