"""Columns and indexes that mean the same on every database, though each is told otherwise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement, Table
from django.db.models.sql.compiler import SQLCompiler

from django_schwartz.perl_text import PerlCharField

#: The column of MySQL and MariaDB that holds a job's priority as a number.
RANK = "priority_or_0"


if TYPE_CHECKING:  # to who reads and writes it, it is the field of Django
    NameField = PerlCharField
else:

    class NameField(PerlCharField):
        """Text that equals nothing but itself: "k", "K" and "k " are three, on MySQL as well."""

        def deconstruct(self) -> Any:
            name, _, args, kwargs = super().deconstruct()
            return name, f"{__name__}.{type(self).__name__}", args, kwargs

        def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
            return {**super().db_parameters(connection), "collation": exact_collation(connection)}


def exact_collation(connection: BaseDatabaseWrapper) -> str | None:
    """The collation that tells all texts apart; None where every collation does."""
    if connection.vendor != "mysql":
        return None
    is_mariadb = getattr(connection, "mysql_is_mariadb", False)
    return "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"


class Priority(models.Func):
    """A job's priority as a number: none is 0. The literal is what lets an index on it be used."""

    template = "COALESCE(%(expressions)s, 0)"
    output_field = models.IntegerField()

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, tuple[Any, ...]]:
        [column] = self.get_source_expressions()
        names = column.alias, RANK
        return ".".join(map(connection.ops.quote_name, names)), ()


class GrabIndex(models.Index):
    """The index in whose order jobs are grabbed: by function, priority, run_after and jobid.

    MariaDB cannot index an expression, only a column that holds its value.
    """

    #: So that Django leaves it to create_sql() what a database can do.
    contains_expressions = False

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        if schema_editor.connection.vendor != "mysql":
            return super().create_sql(model, schema_editor, using, **kwargs)
        return Statement(
            "ALTER TABLE %(table)s"
            f" ADD COLUMN {RANK} smallint AS (COALESCE(priority, 0)) VIRTUAL,"
            f" ADD INDEX {self.name} (funcid, {RANK} DESC, run_after, jobid)",
            table=Table(model._meta.db_table, schema_editor.quote_name),
        )

    def remove_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, **kwargs: Any
    ) -> Any:
        if schema_editor.connection.vendor != "mysql":
            return super().remove_sql(model, schema_editor, **kwargs)
        return Statement(
            f"ALTER TABLE %(table)s DROP INDEX {self.name}, DROP COLUMN {RANK}",
            table=Table(model._meta.db_table, schema_editor.quote_name),
        )


class SmallIndex(models.Index):
    """An index of the rows that `only` says; of `whole` for all rows, where that cannot be said."""

    def __init__(self, *, only: models.Q, whole: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.only = only
        self.whole = list(whole)

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "only": self.only, "whole": self.whole}

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        index = models.Index(fields=self.whole, name=self.name)
        if schema_editor.connection.features.supports_partial_indexes:
            index = models.Index(fields=self.fields, name=self.name, condition=self.only)
        return index.create_sql(model, schema_editor, using, **kwargs)
