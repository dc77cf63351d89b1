"""Text columns that Perl writes too, in bytes that need not be UTF-8 on SQLite."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    Field = models.Field[Any, Any]
else:
    Field = object

Sql = tuple[str, Any]


class PerlText(Field):
    """Reads what is no UTF-8 as visible escapes.

    Left to Python's sqlite3, one such row fails its whole query: how text is decoded is a matter of
    the connection there, which is its project's.
    """

    def select_format(self, compiler: SQLCompiler, sql: str, params: Any) -> Sql:
        """The column as bytes on SQLite; within another query it is left as it is compared."""
        if compiler.connection.vendor != "sqlite" or compiler.query.subquery:
            return sql, params
        return f"CAST({sql} AS BLOB)", params

    def from_db_value(self, value: str | bytes | None, *args: object) -> str | None:
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value

    def deconstruct(self) -> Any:
        """As the field that it is to the database."""
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.get_internal_type()}", args, kwargs


if TYPE_CHECKING:  # to who reads and writes them they are the fields of Django
    PerlCharField = models.CharField
    PerlTextField = models.TextField
else:

    class PerlCharField(PerlText, models.CharField):
        pass

    class PerlTextField(PerlText, models.TextField):
        pass
