"""The site's three kinds of job: Welcome, Broadcast and Deliver."""

import smtplib
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from django.db import transaction
from django.utils import timezone

from django_schwartz import Worker
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job

from .mail import Reply, compose, connect, send
from .models import Delivery, Mailing, Subscriber

ONE_DAY = 86_400
BUSY_SECONDS = 1
MAILS_PER_CONNECTION = 50


class Welcome(Worker):
    """Greet one new subscriber. What smtplib raises is a failure, and retried."""

    max_retries = 5
    grab_for = 30
    keep_exit_status_for = ONE_DAY

    def get_retry_delay(self, failures: int) -> int:
        return 2**failures

    def work(self, job: Job) -> None:
        subscriber = Subscriber.objects.get(pk=job.arg["subscriber"])
        greeting = f"Welcome, {subscriber.name}! You will hear from us soon."
        with connect(subscriber.domain) as smtp:
            smtp.send_message(compose(subscriber.email, "Welcome", greeting))
        with transaction.atomic():
            Subscriber.objects.filter(pk=subscriber.pk).update(welcomed=timezone.now())
            job.completed()


class Broadcast(Worker):
    """Replace the job of a mailing by one Deliver job for each recipient, all or none."""

    max_retries = 3
    retry_delay = 1
    grab_for = 30
    keep_exit_status_for = ONE_DAY

    def work(self, job: Job) -> None:
        mailing = Mailing.objects.get(pk=job.arg["mailing"])
        with transaction.atomic():
            job.replace_with(*[delivery.job() for delivery in mailing.address()])


class Deliver(Worker):
    """Carry mail to one domain, as much as one connection may take; settle each by its reply."""

    max_retries = 3
    retry_delay = 1
    grab_for = 30
    keep_exit_status_for = ONE_DAY

    def work(self, job: Job) -> None:
        try:
            smtp = connect(job.coalesce)
        except OSError:
            decline(job)
            return
        with smtp:
            for each in islice(jobs_to_the_same_domain(job), MAILS_PER_CONNECTION):
                each.set_as_current()  # so that an exception is charged to the right job
                deliver(each, smtp)
                if smtp.sock is None:
                    break


def jobs_to_the_same_domain(job: Job) -> Iterator[Job]:
    """Yield job, then its kin, each grabbed only when the one before it is settled."""
    yield job
    client = TheSchwartz()
    while kin := client.find_job_with_coalescing_value("Deliver", job.coalesce):
        yield kin


def deliver(job: Job, smtp: smtplib.SMTP) -> None:
    """Send the mail of job, and record what came of it.

    Should we be killed between the server's reply and the commit, the mail is sent again:
    SMTP has no transaction to join.
    """
    queued = Delivery.objects.queued().select_related("mailing", "subscriber")
    delivery = queued.filter(pk=job.arg["delivery"]).first()
    if delivery is None:  # sent already, or the subscriber has left
        job.completed()
        return
    reply = send(smtp, delivery.message())
    with transaction.atomic():
        settle(job, delivery, reply)


def settle(job: Job, delivery: Delivery, reply: Reply) -> None:
    """End or postpone job as reply says. In a transaction: its row and delivery's agree."""
    State = Delivery.State
    if reply.code == 421:
        decline(job)
    elif reply.code < 300:
        job.completed()
        delivery.record(reply, State.DELIVERED)
    elif reply.code < 500:
        job.failed(str(reply), exit_status=reply.code)
        delivery.record(reply, State.QUEUED if job.handle.is_pending else State.REJECTED)
    else:
        job.permanent_failure(str(reply), exit_status=reply.code)
        delivery.record(reply, State.REJECTED)


def decline(job: Job) -> None:
    """Put job back for a moment: the domain is busy, and that is no failure of the job."""
    job.declined(timedelta(seconds=BUSY_SECONDS))
