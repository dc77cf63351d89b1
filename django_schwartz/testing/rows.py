"""All rows of the project, put so that those of two runs can be compared."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db import connections, models, router

from django_schwartz.models import FuncMap, Job

#: What tells a dispatched job from another; the rest of it is the queue's.
KEPT_OF_A_JOB = ("func", "arg", "uniqkey", "priority", "coalesce", "queue_name", "meta")

#: A database and a model in it.
Table = tuple[str, type[models.Model]]
#: A table's row, a text for each of its columns.
Row = tuple[str, ...]
#: The columns, by number, of a table.
Columns = Mapping[Table, frozenset[int]]
#: Values that were there before, by table.
Known = Mapping[Table, frozenset[Any]]


def tables(aliases: Iterable[str]) -> list[Table]:
    """The project's tables in these databases, and the queue itself."""
    every = apps.get_models(include_auto_created=True)
    return [
        (alias, model)
        for alias in aliases
        for model in every
        if (model is Job or model._meta.app_label != Job._meta.app_label)
        and model._meta.can_migrate(connections[alias])
        and router.allow_migrate_model(alias, model)
    ]


def compared_fields(model: type[models.Model]) -> list[Any]:
    names = KEPT_OF_A_JOB if model is Job else None
    fields = model._meta.concrete_fields
    return [field for field in fields if names is None or field.name in names]


def primary_keys(among: Iterable[Table]) -> dict[Table, frozenset[Any]]:
    """The keys of all rows that there are."""
    return {table: frozenset(_all(table).values_list("pk", flat=True)) for table in among}


def snapshot(known: Known) -> dict[Table, Counter[Row]]:
    """How often each row is there, for every table of which the earlier rows are known.

    A number that a new row got is told as "new", and of a time only that there is one: these
    differ from run to run.
    """
    return {table: Counter(_rows(table, known)) for table in known}


def _rows(table: Table, known: Known) -> Iterator[Row]:
    fields = compared_fields(table[1])
    for values in _all(table).values_list(*(field.attname for field in fields)):
        yield tuple(
            _told(field, value, table, known) for field, value in zip(fields, values, strict=True)
        )


def _told(field: Any, value: Any, table: Table, known: Known) -> str:
    if value is None:
        return "None"
    if field.related_model is FuncMap:
        return FuncMap.objects.name_of(value, using=table[0])
    if isinstance(field, models.DateField | models.TimeField):
        return "a time"
    if _is_new(field, value, table, known):
        return "new"
    return repr(bytes(value) if isinstance(value, memoryview) else value)


def _is_new(field: Any, value: Any, table: Table, known: Known) -> bool:
    """Whether the value is the key, made up when it was inserted, of a row that is new."""
    owner: Any = field.related_model if field.is_relation else field.primary_key and table[1]
    if not owner or not _is_made_up(owner._meta.pk):
        return False
    key = table[0], owner._meta.concrete_model
    return key in known and value not in known[key]


def _is_made_up(pk: Any) -> bool:
    return pk.is_relation or pk.has_default() or isinstance(pk, models.AutoField)


def _all(table: Table) -> "models.QuerySet[Any]":
    alias, model = table
    return model._base_manager.using(alias)


def varying(one: Mapping[Table, Counter[Row]], other: Mapping[Table, Counter[Row]]) -> Columns:
    """The columns in which two runs of the same differ: random ones, say."""
    return {table: frozenset(_varying(one[table], other[table])) for table in one}


def _varying(one: Counter[Row], other: Counter[Row]) -> Iterator[int]:
    columns = zip(*one.elements(), strict=True), zip(*other.elements(), strict=True)
    for number, (these, those) in enumerate(zip(*columns, strict=False)):
        if sorted(these) != sorted(those):
            yield number


def differences(
    once: Mapping[Table, Counter[Row]], twice: Mapping[Table, Counter[Row]], without: Columns
) -> list[str]:
    """What is more, or less, in the second than in the first: a sentence for each row."""
    return [
        line
        for table in once
        for line in _differences(table, once[table], twice[table], without[table])
    ]


def _differences(
    table: Table, once: Counter[Row], twice: Counter[Row], without: frozenset[int]
) -> Iterator[str]:
    names = [field.attname for field in compared_fields(table[1])]
    once, twice = _reduced(once, without), _reduced(twice, without)
    for row in sorted({*once, *twice}):
        if once[row] != twice[row]:
            kept = [name for number, name in enumerate(names) if number not in without]
            told = ", ".join(f"{name}={value}" for name, value in zip(kept, row, strict=True))
            yield f"{table[1]._meta.label}({told}): {once[row]} once, {twice[row]} twice"


def _reduced(rows: Counter[Row], without: frozenset[int]) -> Counter[Row]:
    reduced: Counter[Row] = Counter()
    for row, count in rows.items():
        kept = tuple(value for number, value in enumerate(row) if number not in without)
        reduced[kept] += count
    return reduced
