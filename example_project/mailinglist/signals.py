"""What follows from a change in the database."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from django_schwartz.client import TheSchwartz

from .models import Subscriber

AHEAD_OF_BROADCASTS = 10


@receiver(post_save, sender=Subscriber)
def welcome(instance: Subscriber, created: bool, raw: bool, **kwargs: Any) -> None:
    """Dispatch a Welcome job in the transaction that adds the subscriber."""
    if not created or raw:
        return
    TheSchwartz().dispatch_async(
        "Welcome",
        arg={"subscriber": instance.pk},
        uniqkey=str(instance.pk),
        priority=AHEAD_OF_BROADCASTS,
    )
