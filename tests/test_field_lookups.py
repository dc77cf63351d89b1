"""Moments in queries: comparisons are exact, and expressions are in the column's unit."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db.models import F, Max, Min, Value
from django.db.models.functions import Coalesce, Now, TruncHour
from django.utils.timezone import override

from django_schwartz.fields import UnixTimeField
from tests.fieldsapp.models import Event, stored

SECONDS = 1_700_000_000
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
HALF_A_SECOND = timedelta(seconds=0.5)
MICROSECOND = timedelta(microseconds=1)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("name", ["starts", "measured"])
@pytest.mark.parametrize(
    ("lookup", "offset", "found"),
    [
        ("lt", -0.5, False),
        ("lt", 0, False),
        ("lt", 0.5, True),
        ("lte", -0.5, False),
        ("lte", 0, True),
        ("lte", 0.5, True),
        ("gt", -0.5, True),
        ("gt", 0, False),
        ("gt", 0.5, False),
        ("gte", -0.5, True),
        ("gte", 0, True),
        ("gte", 0.5, False),
        ("exact", -0.5, False),
        ("exact", 0, True),
        ("exact", 0.5, False),
    ],
)
def test_comparisons_are_exact(database, name, lookup, offset, found):
    Event.objects.create(**{name: MOMENT})
    condition = {f"{name}__{lookup}": MOMENT + timedelta(seconds=offset)}

    assert Event.objects.filter(**condition).exists() is found
    assert Event.objects.exclude(**condition).exists() is not found


@pytest.mark.parametrize("number", [10**18, -(10**18), 2**63 - 1, -(2**63)])
def test_what_reads_as_an_edge_of_the_calendar_is_found_by_what_it_reads_as(database, number):
    Event.objects.create()
    Event.objects.update(starts=number)
    edge = Event.objects.get().starts

    assert Event.objects.filter(starts=edge).exists()
    assert not Event.objects.exclude(starts=edge).exists()
    assert not Event.objects.filter(starts=MOMENT).exists()


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [(-0.5, 0.5, True), (0, 0, True), (0.1, 0.5, False), (-0.5, -0.1, False)],
)
def test_a_range_is_exact(database, first, last, found):
    Event.objects.create(starts=MOMENT)
    edges = MOMENT + timedelta(seconds=first), MOMENT + timedelta(seconds=last)

    assert Event.objects.filter(starts__range=edges).exists() is found


def test_a_list_is_exact(database):
    Event.objects.create(starts=MOMENT)

    assert Event.objects.filter(starts__in=[None, 5, MOMENT]).exists()
    assert not Event.objects.filter(starts__in=[MOMENT - HALF_A_SECOND]).exists()
    assert not Event.objects.filter(
        starts__in=[MOMENT - HALF_A_SECOND, F("starts") + 1, 5]
    ).exists()


@pytest.mark.parametrize("value", [SECONDS + 0.5, Decimal("1700000000.5"), "1700000000.5"])
def test_fractions_of_numbers_are_exact_too(database, value):
    Event.objects.create(starts=MOMENT)

    assert Event.objects.filter(starts__lt=value).exists()
    assert not Event.objects.filter(starts=value).exists()


def test_never_is_found_as_none_and_comes_before_every_moment(database):
    never = Event.objects.create(ends=None)
    zero = Event.objects.create(ends=0)
    event = Event.objects.create(starts=MOMENT, ends=MOMENT)

    assert set(Event.objects.filter(starts=None)) == {never, zero}
    assert set(Event.objects.filter(starts=0)) == {never, zero}
    assert set(Event.objects.filter(ends__isnull=True)) == {never, zero}
    assert set(Event.objects.exclude(ends=None)) == {event}
    assert set(Event.objects.filter(ends__isnull=False)) == {event}
    assert set(Event.objects.exclude(ends__isnull=False)) == {never, zero}
    assert set(Event.objects.filter(starts__lt=MOMENT)) == {never, zero}
    assert Event.objects.latest("starts") == event


def test_none_is_compared_with_nothing():
    with pytest.raises(ValueError, match="None"):
        Event.objects.filter(starts__gte=None)


def test_a_number_beyond_the_column_is_after_every_moment(database):
    event = Event.objects.create(starts=MOMENT)

    assert Event.objects.get(starts__lt=10**30) == event
    assert Event.objects.get(starts__gte=-(10**30)) == event
    assert not Event.objects.filter(starts=10**30).exists()


def test_the_next_row_is_found_by_its_moment(database):
    event = Event.objects.create(starts=MOMENT)
    later = Event.objects.create(starts=MOMENT + MICROSECOND)

    assert event.get_next_by_starts() == later
    assert later.get_previous_by_starts() == event


@pytest.mark.parametrize("name", ["starts", "measured"])
def test_the_parts_of_a_moment_are_those_of_the_current_time_zone(database, name):
    Event.objects.create(**{name: datetime(2023, 12, 31, 23, 30, 1, tzinfo=UTC)})
    parts = {"year": 2024, "month": 1, "day": 1, "hour": 0, "minute": 30, "second": 1}

    with override(BERLIN):
        assert Event.objects.filter(**{f"{name}__{part}": parts[part] for part in parts}).exists()
        assert Event.objects.filter(**{f"{name}__date": date(2024, 1, 1)}).exists()
        assert Event.objects.filter(**{f"{name}__date__gte": date(2024, 1, 1)}).exists()
        assert Event.objects.filter(**{f"{name}__time__hour": 0}).exists()
        assert not Event.objects.filter(**{f"{name}__year__lt": 2024}).exists()
        assert list(Event.objects.values_list(f"{name}__year", flat=True)) == [2024]


@pytest.mark.parametrize("name", ["starts", "measured"])
def test_the_parts_of_a_moment_are_local_where_time_zones_are_off(database, settings, name):
    settings.TIME_ZONE, settings.USE_TZ = "Europe/Berlin", False
    local = datetime.fromisoformat("2024-01-01 00:30:01")
    Event.objects.create(**{name: local})

    assert Event.objects.filter(**{f"{name}__year": 2024, f"{name}__hour": 0}).exists()
    assert Event.objects.filter(**{f"{name}__date": date(2024, 1, 1)}).exists()
    assert Event.objects.filter(**{f"{name}__datetime": local}).exists()


def test_never_and_numbers_beyond_the_calendar_break_no_part(database):
    Event.objects.bulk_create([Event(), Event(starts=10**18), Event(starts=-(10**18))])

    assert set(Event.objects.values_list("starts__year", flat=True)) == {None, 9999, 1}
    assert not Event.objects.filter(starts__year=1970).exists()


def test_numbers_are_added_in_the_columns_unit(database):
    event = Event.objects.create(starts=MOMENT, measured=MOMENT)

    Event.objects.update(ends=F("starts") - 5, measured=F("measured") + 1)
    Event.objects.update(starts=F("starts") + 5)
    later = Event.objects.annotate(later=F("starts") + 5).get().later
    event.refresh_from_db()

    assert event.starts == MOMENT + timedelta(seconds=5)
    assert event.ends == MOMENT - timedelta(seconds=5)
    assert event.measured == MOMENT + MICROSECOND
    assert later == MOMENT + timedelta(seconds=10)


def test_expressions_are_stored_as_they_are(database):
    event = Event.objects.create(starts=Value(5), ends=Coalesce(Value(None), Value(6)))

    assert (stored(event), stored(event, "ends")) == (5, 6)

    Event.objects.update(starts=Value(MOMENT + MICROSECOND, UnixTimeField()), ends=Value(7))

    assert (stored(event), stored(event, "ends")) == (SECONDS + 1, 7)


def test_bulk_update_stores_moments(database):
    event = Event.objects.create()
    event.starts, event.ends = MOMENT + MICROSECOND, None

    Event.objects.bulk_update([event], ["starts", "ends"])

    assert (stored(event), stored(event, "ends")) == (SECONDS + 1, None)


def test_aggregates_are_moments(database):
    Event.objects.bulk_create([Event(starts=MOMENT), Event(starts=5)])

    found = Event.objects.aggregate(first=Min("starts"), last=Max("starts"), none=Max("ends"))

    assert found == {
        "first": datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC),
        "last": MOMENT,
        "none": None,
    }
    assert not Event.objects.annotate(last=Max("starts")).filter(last__gt=MOMENT).exists()


def test_moments_are_compared_with_other_columns(database):
    Event.objects.create(starts=MOMENT, ends=MOMENT + timedelta(seconds=5))

    assert Event.objects.filter(starts__lt=F("ends")).exists()
    assert Event.objects.filter(starts=F("ends") - 5).exists()
    assert not Event.objects.filter(starts__gt=F("ends") - 5).exists()
    assert Event.objects.filter(ends__in=[F("starts"), F("starts") + 5]).exists()
    assert Event.objects.filter(ends__in=Event.objects.values("ends")).exists()
    assert Event.objects.filter(ends=Event.objects.values("ends")[:1]).exists()


@pytest.mark.parametrize("other", [Now(), F("measured"), F("ends") + timedelta(seconds=5)])
@pytest.mark.parametrize("lookup", ["exact", "lt", "lte", "gt", "gte"])
def test_another_unit_is_no_comparison(lookup, other):
    with pytest.raises(TypeError, match="__datetime"):
        Event.objects.filter(**{f"starts__{lookup}": other})


def test_an_expression_of_no_known_unit_is_left_to_the_database():
    query = Event.objects.filter(starts__gt=Value("a") + Value(1)).query

    sql, params = query.get_compiler("sqlite").as_sql()
    assert sql.endswith('"starts" > (%s + %s)')
    assert params == ("a", 1)


def test_the_databases_datetimes_work_on_a_moments_datetime(database):
    Event.objects.create(starts=MOMENT, ends=SECONDS + 65, measured=MOMENT + HALF_A_SECOND)
    past = Event.objects.filter(starts__datetime__lte=Now())

    event = past.annotate(
        took=F("ends__datetime") - F("starts__datetime"),
        later=F("measured__datetime") + timedelta(minutes=1),
        hour=TruncHour("starts__datetime"),
    ).get()

    assert event.took == timedelta(seconds=65)
    assert event.later == MOMENT + HALF_A_SECOND + timedelta(minutes=1)
    assert event.hour == MOMENT.replace(minute=0, second=0)
    assert not Event.objects.filter(starts__datetime__gt=Now()).exists()
