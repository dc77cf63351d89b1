"""Rows of moments, for the tests of the fields."""

from django.db import models
from django.db.models.functions import Cast

from django_schwartz.fields import UnixMicrosecondField, UnixTimeField


class Event(models.Model):
    starts = UnixTimeField(blank=True, default=0, db_default=0)
    ends = UnixTimeField(null=True, blank=True)
    measured = UnixMicrosecondField(null=True, blank=True)

    def __str__(self):
        return f"event {self.pk}"


class Note(models.Model):
    written = UnixTimeField(auto_now_add=True)
    changed = UnixTimeField(auto_now=True)

    def __str__(self):
        return f"note {self.pk}"


def stored(event, name="starts"):
    """The number in the column."""
    numbers = Event.objects.values_list(Cast(name, models.BigIntegerField()), flat=True)
    return numbers.get(pk=event.pk)
