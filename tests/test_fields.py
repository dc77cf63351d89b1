"""Moments are whole numbers in the database and aware datetimes in Python."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connections
from django.db.migrations.writer import MigrationWriter
from django.utils.timezone import override

from django_schwartz.fields import UnixMicrosecondField, UnixTimeField, unix_seconds
from tests.fieldsapp.models import Event, Note, stored

SECONDS = 1_700_000_000
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
MOMENT_IN_BERLIN = datetime.fromisoformat("2023-11-14 23:13:20")
MICROSECOND = timedelta(microseconds=1)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (MOMENT, SECONDS),
        (MOMENT + MICROSECOND, SECONDS + 1),
        (MOMENT + timedelta(seconds=1) - MICROSECOND, SECONDS + 1),
        (MOMENT.astimezone(timezone(timedelta(hours=-9, minutes=-30))), SECONDS),
        (datetime(1969, 12, 31, 23, 59, 58, 1, tzinfo=UTC), -1),
        (datetime(9999, 12, 31, 23, 59, 58, 999999, tzinfo=UTC), 253_402_300_799),
        (5, 5),
        (5.000001, 6),
        (-5.5, -5),
        (Decimal("5.1"), 6),
    ],
)
def test_unix_seconds_rounds_up(value, seconds):
    assert unix_seconds(value) == seconds


def test_unix_seconds_takes_a_naive_datetime_in_the_current_time_zone():
    with override(BERLIN):
        assert unix_seconds(MOMENT_IN_BERLIN) == SECONDS


@pytest.mark.parametrize("value", [None, True, "5", timedelta(5), date(2023, 11, 14), object()])
def test_unix_seconds_refuses_what_is_no_moment(value):
    with pytest.raises(TypeError, match="Expected a datetime or a number"):
        unix_seconds(value)


def test_a_moment_is_a_number_in_the_database_and_in_utc_in_python(database):
    event = Event.objects.create(starts=MOMENT.astimezone(BERLIN))

    event.refresh_from_db()

    assert stored(event) == SECONDS
    assert event.starts == MOMENT
    assert event.starts.tzinfo is UTC


@pytest.mark.parametrize(
    "value", [SECONDS, float(SECONDS), Decimal(SECONDS), str(SECONDS), "2023-11-14 22:13:20Z"]
)
def test_numbers_and_text_are_moments_too(database, value):
    event = Event.objects.create(starts=value)

    assert event.starts == MOMENT
    assert stored(event) == SECONDS


@pytest.mark.parametrize("value", [True, timedelta(5), [5]])
def test_what_is_no_moment_is_refused(database, value):
    with pytest.raises(TypeError, match="Expected a datetime or a number"):
        Event.objects.create(starts=value)
    with pytest.raises(TypeError, match="Expected a datetime or a number"):
        Event.objects.filter(starts=value)


def test_text_that_is_no_moment_is_refused(database):
    with pytest.raises(ValidationError):
        Event.objects.create(starts="soon")


def test_a_naive_datetime_is_in_the_current_time_zone(database):
    with override(BERLIN):
        event = Event.objects.create(starts=MOMENT_IN_BERLIN)

    assert event.starts == MOMENT


def test_nothing_is_stored_earlier_than_it_was_given(database):
    event = Event.objects.create(starts=MOMENT + MICROSECOND, measured=MOMENT + MICROSECOND)

    assert event.starts == MOMENT + timedelta(seconds=1)
    assert event.measured == MOMENT + MICROSECOND


@pytest.mark.parametrize("save", [Event.save, lambda event: Event.objects.bulk_create([event])])
def test_saving_leaves_on_the_instance_what_is_stored(database, save):
    event = Event(starts=MOMENT + MICROSECOND, ends=SECONDS + 1, measured=SECONDS * 1_000_000)

    save(event)

    assert event.starts == event.ends == MOMENT + timedelta(seconds=1)
    assert event.measured == MOMENT
    assert event.starts == Event.objects.get().starts


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 58, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 16, 999999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 58, 999999, tzinfo=UTC),
    ],
)
def test_no_moment_of_the_calendar_is_inexact(database, moment):
    event = Event.objects.create(measured=moment, ends=moment)

    event.refresh_from_db()

    assert event.measured == moment
    assert event.ends - timedelta(seconds=1) < moment <= event.ends
    assert Event.objects.filter(measured=moment, measured__gt=moment - MICROSECOND).exists()


def test_zero_reads_as_none_and_none_is_written_as_zero(database):
    given_none, given_zero = Event.objects.create(starts=None), Event.objects.create(starts=0)

    given_none.refresh_from_db()

    assert given_none.starts is None
    assert given_zero.starts is None
    assert stored(given_none) == stored(given_zero) == 0


def test_none_is_written_as_null_where_that_is_allowed(database):
    given_none, given_zero = Event.objects.create(ends=None), Event.objects.create(ends=0)

    assert given_none.ends is given_zero.ends is None
    assert stored(given_none, "ends") is stored(given_zero, "ends") is None


def test_a_default_of_zero_is_none_from_the_start():
    assert Event().starts is None


def test_a_row_of_another_program_has_the_databases_default(database):
    with connections[database].cursor() as cursor:
        cursor.execute(f"INSERT INTO {Event._meta.db_table} (measured) VALUES (NULL)")

    assert Event.objects.get().starts is None


@pytest.mark.parametrize(
    ("number", "edge"),
    [(10**18, datetime(9999, 12, 31, tzinfo=UTC)), (-(10**18), datetime(1, 1, 2, tzinfo=UTC))],
)
def test_a_number_beyond_the_calendar_reads_as_its_edge(database, number, edge):
    Event.objects.create()

    Event.objects.update(starts=number)

    assert Event.objects.get().starts == edge
    assert edge.astimezone(timezone(timedelta(hours=14)))
    assert edge.astimezone(timezone(timedelta(hours=-12)))


def test_a_moment_is_local_where_time_zones_are_off(database, settings):
    settings.TIME_ZONE, settings.USE_TZ = "Europe/Berlin", False

    event = Event.objects.create(starts=MOMENT_IN_BERLIN)
    event.refresh_from_db()

    assert stored(event) == SECONDS
    assert event.starts.isoformat() == "2023-11-14T23:13:20+01:00"


@pytest.mark.parametrize("use_tz", [True, False])
def test_the_hour_that_comes_twice_is_kept_apart(database, settings, use_tz):
    settings.TIME_ZONE, settings.USE_TZ = "Europe/Berlin", use_tz
    first = datetime(2023, 10, 29, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)

    event = Event.objects.create(starts=first, ends=second)
    event.refresh_from_db()

    assert stored(event, "ends") - stored(event) == 3600
    assert event.ends.timestamp() - event.starts.timestamp() == 3600
    assert Event.objects.filter(starts=first, ends=second).exists()
    assert not Event.objects.filter(starts=second).exists()


def test_auto_now_is_the_time_of_the_save(database):
    before = datetime.now(UTC)
    note = Note.objects.create()
    Note.objects.update(written=5, changed=5)
    note.refresh_from_db()

    note.save()

    assert unix_seconds(note.written) == 5
    assert before <= note.changed <= datetime.now(UTC) + timedelta(seconds=1)


def test_the_fields_are_deconstructed_as_they_were_made():
    field = UnixTimeField(null=True, blank=True, default=0, db_default=0, auto_now=False)

    _, path, args, kwargs = field.deconstruct()

    assert path == "django_schwartz.fields.UnixTimeField"
    assert (args, kwargs) == ([], {"null": True, "blank": True, "default": 0, "db_default": 0})
    assert MigrationWriter.serialize(UnixMicrosecondField())[0] == (
        "django_schwartz.fields.UnixMicrosecondField()"
    )


def test_the_system_checks_find_nothing_wrong():
    assert Event.check() == Note.check() == []


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("kind", ["json", "jsonl", "xml"])
def test_rows_come_back_from_a_fixture(database, settings, tmp_path, kind, use_tz):
    settings.TIME_ZONE, settings.USE_TZ = "Europe/Berlin", use_tz
    millisecond = timedelta(milliseconds=1)
    event = Event.objects.create(starts=MOMENT, ends=MOMENT, measured=MOMENT + millisecond)
    never = Event.objects.create()
    path = tmp_path / f"events.{kind}"
    call_command(
        "dumpdata", "fieldsapp.Event", database=database, output=path, format=kind, verbosity=0
    )
    Event.objects.all().delete()

    call_command("loaddata", path, database=database, verbosity=0)

    assert Event.objects.filter(pk=event.pk, starts=MOMENT, ends=MOMENT).exists()
    assert Event.objects.filter(pk=event.pk, measured=MOMENT + millisecond).exists()
    assert Event.objects.filter(pk=never.pk, starts=0, ends=None).exists()


def test_xml_keeps_every_microsecond():
    event = Event(pk=1, starts=MOMENT, measured=MOMENT + MICROSECOND)
    xml = serializers.serialize("xml", [event])

    (again,) = serializers.deserialize("xml", xml)

    assert again.object.measured == MOMENT + MICROSECOND
