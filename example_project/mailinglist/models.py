"""Who is on the list, what is sent to them, and what became of each mail."""

from email.message import EmailMessage

from django.db import models
from django.db.models import Count, F, Q
from django.utils import timezone

from django_schwartz.client import JobHandle, TheSchwartz
from django_schwartz.models import Job

from .mail import Reply, compose


class Subscriber(models.Model):
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100)
    joined = models.DateTimeField(auto_now_add=True)
    welcomed = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2].lower()


class MailingQuerySet(models.QuerySet["Mailing"]):
    def with_progress(self) -> "MailingQuerySet":
        """Annotate recipients, delivered, rejected, queued and settled: counts of deliveries."""

        def count(state: Delivery.State) -> Count:
            return Count("deliveries", filter=Q(deliveries__state=state))

        return self.annotate(
            recipients=Count("deliveries"),
            delivered=count(Delivery.State.DELIVERED),
            rejected=count(Delivery.State.REJECTED),
            queued=count(Delivery.State.QUEUED),
            settled=F("delivered") + F("rejected"),
        )


class Mailing(models.Model):
    subject = models.CharField(max_length=200)
    body = models.TextField()
    created = models.DateTimeField(auto_now_add=True)

    objects = MailingQuerySet.as_manager()

    def __str__(self) -> str:
        return self.subject

    def send(self) -> JobHandle:
        """Dispatch one Broadcast job, in the caller's transaction if there is one.

        While that job is queued, a second call returns its handle.
        """
        return TheSchwartz().dispatch_async(
            "Broadcast", arg={"mailing": self.pk}, uniqkey=str(self.pk)
        )

    def address(self) -> list["Delivery"]:
        """Add a delivery for each subscriber who has none of this mailing yet, and return them."""
        newcomers = Subscriber.objects.exclude(deliveries__mailing=self)
        return Delivery.objects.bulk_create(
            [Delivery(mailing=self, subscriber=newcomer) for newcomer in newcomers]
        )


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def queued(self) -> "DeliveryQuerySet":
        return self.filter(state=Delivery.State.QUEUED)


class Delivery(models.Model):
    """One mailing to one subscriber, and the mail server's last word on it."""

    class State(models.TextChoices):
        QUEUED = "queued"
        DELIVERED = "delivered"
        REJECTED = "rejected"

    mailing = models.ForeignKey(Mailing, models.CASCADE, related_name="deliveries")
    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    reply = models.TextField(blank=True)
    last_attempt = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["mailing", "subscriber"], name="one_delivery_a_subscriber"
            )
        ]

    def __str__(self) -> str:
        return f"{self.mailing} to {self.subscriber}"

    def job(self) -> Job:
        """Return a Deliver job, not dispatched: its kin by domain share `coalesce`."""
        return Job(
            funcname="Deliver",
            arg={"delivery": self.pk},
            uniqkey=f"{self.mailing_id}-{self.subscriber_id}",
            coalesce=self.subscriber.domain,
        )

    def message(self) -> EmailMessage:
        greeting = f"Dear {self.subscriber.name},\n\n"
        return compose(self.subscriber.email, self.mailing.subject, greeting + self.mailing.body)

    def record(self, reply: Reply, state: State) -> None:
        """Store what one more attempt came to."""
        Delivery.objects.filter(pk=self.pk).update(
            state=state,
            attempts=F("attempts") + 1,
            reply=str(reply),
            last_attempt=timezone.now(),
        )
