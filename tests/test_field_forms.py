"""Moments in forms and in the admin."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import results
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.utils.html import strip_tags
from django.utils.timezone import override

from tests.fieldsapp.models import Event, stored

SECONDS = 1_700_000_000
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


class EventForm(forms.ModelForm):
    class Meta:
        model = Event
        fields = ["starts", "ends"]


def test_a_form_takes_local_time_and_nothing_for_never(database):
    with override(BERLIN):
        form = EventForm({"starts": "2023-11-14 23:13:20", "ends": ""})
        event = form.save()

    assert event.starts == MOMENT
    assert event.ends is None
    assert stored(event) == SECONDS


def test_a_form_left_empty_is_never(database):
    form = EventForm({"starts": "", "ends": ""})

    assert form.is_valid(), form.errors
    assert stored(form.save()) == 0


def test_a_form_shows_local_time_and_nothing_for_never(database):
    Event.objects.create(ends=MOMENT)

    with override(BERLIN):
        html = EventForm(instance=Event.objects.get()).as_p()

    assert 'value="2023-11-14 23:13:20"' in html
    assert html.count("value=") == 1
    assert "value=" not in EventForm().as_p()


def test_a_form_that_changes_nothing_has_not_changed(database):
    Event.objects.create(ends=MOMENT)

    form = EventForm({"starts": "", "ends": "2023-11-14 22:13:20"}, instance=Event.objects.get())

    with override(UTC):
        assert form.has_changed() is False


class EventAdmin(admin.ModelAdmin):
    list_display = ("starts", "ends", "measured")
    list_display_links = None
    list_filter = ("starts", "ends", "measured")
    search_fields = ("starts", "=ends", "measured__year")
    ordering = ("pk",)
    show_facets = admin.ShowFacets.ALWAYS


@pytest.fixture
def event_admin():
    return EventAdmin(Event, admin.AdminSite())


def admin_request(data=None):
    request = RequestFactory().get("/", data)
    request.user = User(is_active=True, is_staff=True, is_superuser=True)
    return request


def listed(event_admin):
    """The cells of the one row that the admin lists."""
    changelist = event_admin.get_changelist_instance(admin_request())
    changelist.formset = None
    ((_, *cells),) = results(changelist)
    return [strip_tags(cell) for cell in cells]


def test_the_admin_lists_local_time_and_a_dash_for_never(database, event_admin):
    Event.objects.create(ends=MOMENT)

    with override(BERLIN):
        cells = listed(event_admin)

    assert cells == ["-", "Nov. 14, 2023, 11:13 p.m.", "-"]


def test_the_admin_lists_local_time_where_time_zones_are_off(database, settings, event_admin):
    settings.TIME_ZONE, settings.USE_TZ = "Europe/Berlin", False
    Event.objects.create(ends=MOMENT)

    assert listed(event_admin) == ["-", "Nov. 14, 2023, 11:13 p.m.", "-"]


@pytest.mark.parametrize("use_tz", [True, False])
def test_the_admins_date_filters_find_today(database, settings, event_admin, use_tz):
    settings.TIME_ZONE, settings.USE_TZ = "Europe/Berlin", use_tz
    now = datetime.now(UTC)
    today = Event.objects.create(starts=now, ends=now, measured=now)
    Event.objects.create(starts=MOMENT)
    everything = event_admin.get_changelist_instance(admin_request())

    for by_date in everything.filter_specs:
        _, chosen = by_date.links[1]
        found = event_admin.get_changelist_instance(admin_request(chosen))
        assert list(found.queryset) == [today]
        assert "Today (1)" in [choice["display"] for choice in by_date.choices(everything)]


def test_the_admins_date_filters_find_what_has_no_date(database, event_admin):
    Event.objects.create(starts=MOMENT, ends=MOMENT)
    never = Event.objects.create(starts=MOMENT)
    Event.objects.filter(pk=never.pk).update(ends=0)

    found = event_admin.get_changelist_instance(admin_request({"ends__isnull": "True"}))

    assert list(found.queryset) == [never]


@pytest.mark.parametrize("text", ["170000000", "1700000005", "2023"])
def test_the_admin_searches_the_numbers(database, event_admin, text):
    event = Event.objects.create(starts=SECONDS, ends=SECONDS + 5, measured=MOMENT)
    Event.objects.create(starts=5, ends=5)

    found = event_admin.get_changelist_instance(admin_request({"q": text}))

    assert list(found.queryset) == [event]


def test_the_admins_form_splits_date_and_time(database, event_admin):
    form_class = event_admin.get_form(admin_request())
    data = {"starts_0": "2023-11-14", "starts_1": "23:13:20", "measured_0": "", "measured_1": ""}

    with override(BERLIN):
        event = form_class(data).save()
        html = form_class(instance=event).as_p()

    assert event.starts == MOMENT
    assert event.ends is None
    assert 'value="2023-11-14"' in html
    assert 'value="23:13:20"' in html
    assert html.count("value=") == 2
