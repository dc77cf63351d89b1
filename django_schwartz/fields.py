"""Moments that are whole numbers in the database: fields of UNIX seconds and microseconds."""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet, FieldError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import lookups
from django.db.models.expressions import Combinable, register_combinable_fields
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)

#: The first and the last moment that every time zone can show.
FIRST = datetime(1, 1, 2, tzinfo=UTC)
LAST = datetime(9999, 12, 31, tzinfo=UTC)

NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)

#: An int where it is whole.
Ticks = int | Fraction
Sql = tuple[str, tuple[Any, ...]]


#: The last moment in UTC that was asked for, and its seconds: the jobs of a batch share theirs.
_last_asked = EPOCH, 0


def unix_seconds(value: datetime | float) -> int:
    """Return whole UNIX seconds, rounded up: nothing that waits for them runs early.

    A number is UNIX seconds already; a naive datetime is in the current time zone. TypeError for
    anything else.
    """
    global _last_asked
    moment, seconds = _last_asked
    if value is moment:
        return seconds
    if not isinstance(value, datetime) or value.tzinfo is not UTC:
        return math.ceil(exact_ticks(value, tick=SECOND))
    seconds = _seconds_of(value)
    _last_asked = value, seconds
    return seconds


@lru_cache(maxsize=1024)
def _seconds_of(moment: datetime) -> int:
    """The same for a moment in UTC: a batch may have two."""
    return math.ceil(exact_ticks(moment, tick=SECOND))


def exact_ticks(value: object, *, tick: timedelta) -> Ticks:
    """Return the ticks from 1970 to a datetime; a number is in ticks already. Raises TypeError."""
    if isinstance(value, datetime):
        moment = value if timezone.is_aware(value) else timezone.make_aware(value)
        whole, rest = divmod(moment - EPOCH, tick)
        return whole + Fraction(rest // MICROSECOND, tick // MICROSECOND) if rest else whole
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Fraction):
        message = f"Expected a datetime or a number, not {value!r}."
        raise TypeError(message)
    ticks = Fraction(value)
    return int(ticks) if ticks.denominator == 1 else ticks


def _whole_number(value: object) -> int | None:
    """The number in a column; None for text and blobs, which SQLite keeps in any."""
    if isinstance(value, float) and math.isfinite(value):
        return math.ceil(value)
    return value if isinstance(value, int) else None


if TYPE_CHECKING:
    DateTimeField = models.DateTimeField[
        datetime | float | Decimal | str | Combinable | None, datetime | None
    ]
else:
    DateTimeField = models.DateTimeField


class UnixTimeField(DateTimeField):
    """A BIGINT of UNIX seconds in the database, an aware datetime in Python.

    0 reads as None, "never". None is written as 0, or as NULL where the field is null=True, and
    ``__isnull`` finds both. All other comparisons, and the order, are the integers': "never" comes
    before every moment.

    A number, or text that is one, is in the column's unit. A naive datetime is in the current time
    zone. What is stored is rounded up to the next second, while comparisons are exact. Moments are
    read in UTC, or in the default time zone where USE_TZ is off. A number beyond the calendar reads
    as the calendar's edge, less a day for the time zones.

    ``F("run_after") + 5`` is five seconds later. For all else that a database does with datetimes,
    there is ``__datetime``: ``filter(run_after__datetime__lte=Now())``,
    ``TruncHour("run_after__datetime")``, ``F("grabbed_until__datetime") - timedelta(minutes=1)``.
    """

    _pyi_lookup_exact_type: Any  # for django-stubs: numbers too

    tick = SECOND

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def ticks(self, value: object) -> Ticks | None:
        """Return exactly the ticks that a value is, None for None.

        Raises TypeError for what is no moment, ValidationError for text that is none.
        """
        if isinstance(value, str) and NUMBER.fullmatch(value):
            value = Fraction(value)
        elif isinstance(value, str | date):
            value = super().to_python(value)
        return None if value is None else exact_ticks(value, tick=self.tick)

    def moment(self, ticks: int | None) -> datetime | None:
        """Return what the ticks are read as."""
        if not ticks:
            return None
        try:
            moment = EPOCH + ticks * self.tick
            return moment if settings.USE_TZ else moment.astimezone(timezone.get_default_timezone())
        except OverflowError:
            return FIRST if ticks < 0 else LAST

    def from_db_value(self, value: object, *args: object) -> datetime | None:
        return self.moment(_whole_number(value))

    def to_python(self, value: Any) -> Any:
        if isinstance(value, datetime) or hasattr(value, "resolve_expression"):
            return value
        return self.moment(self.get_prep_value(value))

    def get_default(self) -> Any:
        return self.to_python(super().get_default())

    def get_prep_value(self, value: Any) -> int | None:
        ticks = self.ticks(value)
        return None if ticks is None else math.ceil(ticks)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        ticks = value if prepared else self.get_prep_value(value)
        if ticks is None and not self.null:
            ticks = 0
        return connection.ops.adapt_integerfield_value(ticks, self.get_internal_type())

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return what is stored, as it will be read, and leave it on the instance."""
        value = super().pre_save(model_instance, add)
        if not hasattr(value, "resolve_expression"):
            value = self.moment(self.get_prep_value(value))
            setattr(model_instance, self.attname, value)
        return value

    def value_to_string(self, obj: models.Model) -> str:
        ticks = self.get_prep_value(self.value_from_object(obj))
        return "" if ticks is None else str(ticks)

    def get_transform(self, lookup_name: str) -> Any:
        """Return DateTimeField's transform, made to work on the integer."""
        transform = super().get_transform(lookup_name)
        if transform is None or transform is AsDateTime:
            return transform
        return lambda lhs: transform(AsDateTime(lhs))


class UnixMicrosecondField(UnixTimeField):
    """As UnixTimeField, in microseconds: exact, and numbers given to it are UNIX microseconds.

    Django's JSON keeps milliseconds of any datetime; its XML keeps all of this one.
    """

    tick = MICROSECOND


# So that an expression such as F("run_after") + 5 is a moment, too.
for _field in (UnixMicrosecondField, UnixTimeField):
    for _operator in (Combinable.ADD, Combinable.SUB):
        register_combinable_fields(_field, _operator, models.IntegerField, _field)


@UnixTimeField.register_lookup
class AsDateTime(lookups.Transform):
    """The database's own datetime of a moment; NULL where that is "never"."""

    lookup_name = "datetime"
    output_field = models.DateTimeField()

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> Sql:
        microseconds, params = self._microseconds(compiler)
        return f"(TIMESTAMPTZ 'epoch' + {microseconds} * INTERVAL '1 microsecond')", params

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> Sql:
        microseconds, params = self._microseconds(compiler)
        utc = f"TIMESTAMPADD(MICROSECOND, {microseconds}, TIMESTAMP '1970-01-01 00:00:00')"
        if connection.timezone_name == "UTC":
            return utc, params
        return f"CONVERT_TZ({utc}, '+00:00', %s)", (*params, connection.timezone_name)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> Sql:
        microseconds, params = self._microseconds(compiler, least="MIN", greatest="MAX")
        utc = f"django_format_dtdelta('+', '1970-01-01 00:00:00', {microseconds})"
        if connection.timezone_name == "UTC":
            return utc, params
        day = f"django_datetime_cast_date({utc}, %s, 'UTC')"
        time = f"django_datetime_cast_time({utc}, %s, 'UTC')"
        return f"({day} || ' ' || {time})", (*params, connection.timezone_name) * 2

    def _microseconds(
        self, compiler: SQLCompiler, *, least: str = "LEAST", greatest: str = "GREATEST"
    ) -> Sql:
        sql, params = compiler.compile(self.lhs)
        field: Any = self.lhs.output_field
        first, last = field.get_prep_value(FIRST), field.get_prep_value(LAST)
        ticks = f"{least}({greatest}(COALESCE({sql}, 0), {first}), {last})"
        return f"NULLIF({ticks}, 0) * {field.tick // MICROSECOND}", tuple(params)


class MomentLookup(lookups.Lookup):
    """Compares ticks with an exact moment: ``lt`` 1.5 is ``lt`` 2, ``lte`` 1.5 is ``lte`` 1."""

    rounded: Callable[[Ticks], Ticks]

    def get_prep_lookup(self) -> Any:
        field = self.lhs.output_field
        if hasattr(self.rhs, "resolve_expression"):
            require_unit(field, self.rhs)
            return super().get_prep_lookup()
        ticks = field.ticks(self.rhs)
        return None if ticks is None else self.rounded(ticks)


def require_unit(field: UnixTimeField, expression: Any) -> None:
    """Raise TypeError for datetimes and other ticks, which SQLite would compare regardless."""
    try:
        other = getattr(expression, "output_field", None)
    except FieldError:
        return
    if isinstance(other, models.DateTimeField) and getattr(other, "tick", None) != field.tick:
        message = f"{expression!r} is in another unit: compare it with {field.name}__datetime."
        raise TypeError(message)


@UnixTimeField.register_lookup
class LessThan(MomentLookup, lookups.IntegerLessThan):
    rounded = staticmethod(math.ceil)


@UnixTimeField.register_lookup
class LessThanOrEqual(MomentLookup, lookups.IntegerLessThanOrEqual):
    rounded = staticmethod(math.floor)


@UnixTimeField.register_lookup
class GreaterThan(MomentLookup, lookups.IntegerGreaterThan):
    rounded = staticmethod(math.floor)


@UnixTimeField.register_lookup
class GreaterThanOrEqual(MomentLookup, lookups.IntegerGreaterThanOrEqual):
    rounded = staticmethod(math.ceil)


@UnixTimeField.register_lookup
class Exact(MomentLookup, lookups.IntegerFieldExact):
    """Finds nothing between two ticks, and at an edge of the calendar all that reads as it."""

    @staticmethod
    def rounded(ticks: Ticks) -> Ticks:
        return ticks

    def process_rhs(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        if isinstance(self.rhs, Fraction):
            raise EmptyResultSet
        return super().process_rhs(compiler, connection)

    def get_rhs_op(self, connection: BaseDatabaseWrapper, rhs: str) -> str:
        ticks = self.lhs.output_field.ticks
        if self.rhs in (ticks(FIRST), ticks(LAST)):
            return f"<= {rhs}" if self.rhs < 0 else f">= {rhs}"
        return super().get_rhs_op(connection, rhs)


@UnixTimeField.register_lookup
class In(lookups.In):
    def get_prep_lookup(self) -> Any:
        if not hasattr(self.rhs, "resolve_expression"):
            prepared = [Exact(self.lhs, value).rhs for value in self.rhs]
            self.rhs = [value for value in prepared if not isinstance(value, Fraction)]
        return super().get_prep_lookup()


@UnixTimeField.register_lookup
class Range(lookups.Range):
    def get_prep_lookup(self) -> Any:
        first, last = self.rhs
        self.rhs = GreaterThanOrEqual(self.lhs, first).rhs, LessThanOrEqual(self.lhs, last).rhs
        return super().get_prep_lookup()


@UnixTimeField.register_lookup
class IsNull(lookups.IsNull):
    """Finds 0 with NULL: both are read as None."""

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Sql:
        is_null, params = super().as_sql(compiler, connection)
        column, column_params = self.process_lhs(compiler, connection)
        zero = f"OR {column} = 0" if self.rhs else f"AND {column} <> 0"
        return f"({is_null} {zero})", (*params, *column_params)
