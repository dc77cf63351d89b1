"""FuncMap: the numbers that functions go by in the other tables."""

from collections.abc import Iterable
from functools import partial

from django.db import DEFAULT_DB_ALIAS, connections, models

from django_schwartz.dialects import dialect_of
from django_schwartz.exceptions import UnseenRow
from django_schwartz.models.columns import NameField
from django_schwartz.transactions import Tentative
from django_schwartz.worker import Worker


class FuncMapManager(models.Manager["FuncMap"]):
    """Remembers rows by alias, as ContentTypeManager does, but none that is rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, str | int], tuple[FuncMap, Tentative]] = {}

    def get_or_make(self, funcname: str, *, using: str) -> "FuncMap":
        """The row of a function, made in the caller's transaction when there is none."""
        known = self.recall(funcname, using=using)
        return known or self.get_or_make_all([funcname], using=using)[funcname]

    def get_or_make_all(self, funcnames: Iterable[str], *, using: str) -> "dict[str, FuncMap]":
        """The same of many, by funcname. Three queries at most. Raises UnseenRow."""
        names = list(funcnames)
        rows = self.find(names, using=using)
        if missing := [name for name in names if name not in rows]:
            make = partial(self.using(using).bulk_create, ignore_conflicts=True)
            made = [self.model(funcname=name) for name in missing]
            dialect_of(connections[using]).again(using, partial(make, made))
            rows |= {row.funcname: row for row in self._read(missing, using)}
        if unseen := [name for name in names if name not in rows]:
            raise UnseenRow(f"The function {unseen[0]!r}")
        return rows

    def find(self, funcnames: Iterable[str], *, using: str) -> "dict[str, FuncMap]":
        """The rows of those functions that have one, by funcname. Makes none."""
        recalled = {name: self.recall(name, using=using) for name in funcnames}
        missing = [name for name, row in recalled.items() if row is None]
        read = {row.funcname: row for row in self._read(missing, using)} if missing else {}
        return {name: row for name, row in {**recalled, **read}.items() if row is not None}

    def name_of(self, funcid: int, *, using: str) -> str:
        """The name of a function, or "funcid N" for a number that no row has."""
        return self.names_of([funcid], using=using)[funcid]

    def names_of(self, funcids: Iterable[int], *, using: str) -> dict[int, str]:
        """The names of functions by number, as name_of. One query at most."""
        rows = {funcid: self.recall(funcid, using=using) for funcid in funcids}
        if missing := [funcid for funcid, row in rows.items() if row is None]:
            for row in self.using(using).filter(pk__in=missing):
                self._remember(row, using)
                rows[row.funcid] = row
        return {
            funcid: row.funcname if row else without_name(funcid) for funcid, row in rows.items()
        }

    def forget(self, *, using: str) -> None:
        """Forget what is known of one database: its tables were emptied, or are new."""
        self._known = {key: value for key, value in self._known.items() if key[0] != using}

    def recall(self, key: str | int, *, using: str) -> "FuncMap | None":
        """The row of a function, by its name or its number, if it is remembered."""
        row, fact = self._known.get((using, key), (None, None))
        return row if fact is not None and fact.holds else None

    def _remember(self, row: "FuncMap", using: str) -> None:
        entry = row, Tentative(using)
        self._known[using, row.funcname] = self._known[using, row.funcid] = entry

    def _read(self, funcnames: list[str], using: str) -> "list[FuncMap]":
        rows = list(self.using(using).filter(funcname__in=funcnames))
        for row in rows:
            self._remember(row, using)
        return rows


class FuncMap(models.Model):
    """A function: what a job is dispatched to and a worker performs. Rows are never deleted."""

    funcid = models.AutoField(primary_key=True)
    funcname = NameField(max_length=255, unique=True)

    objects = FuncMapManager()

    class Meta:
        verbose_name = "function"

    def __str__(self) -> str:
        return str(self.funcname)


def without_name(funcid: int) -> str:
    """What a function is called whose number no row has."""
    return f"funcid {funcid}"


class OfFunction:
    """What a row of some function's knows of it."""

    func_id: int
    #: As a job's: nobody performs the row.
    worker: type[Worker] | None = None
    _state: models.base.ModelState

    @property
    def funcname(self) -> str:
        """The name of the function that the row belongs to."""
        return FuncMap.objects.name_of(self.func_id, using=self._state.db or DEFAULT_DB_ALIAS)
