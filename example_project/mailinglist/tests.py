"""How to test an application that uses the queue: what is dispatched, and what the workers do."""

# ruff: noqa: PT009, PT027 - Django's test runner needs no pytest

import logging

from demo.smtpd import HOST, Smtpd, free_port
from django.contrib.auth import get_user_model
from django.db.models.signals import post_save
from django.test import TestCase, TransactionTestCase, override_settings
from django.urls import reverse

from django_schwartz.client import TheSchwartz
from django_schwartz.models import Error, ExitStatus, Job

from .models import Delivery, Mailing, Subscriber
from .workers import Broadcast, Deliver, Welcome

SUBSCRIBER = {"name": "Ann", "email": "ann@alpha.example"}


class SignUpTests(TransactionTestCase):
    def test_joining_dispatches_exactly_one_welcome(self) -> None:
        response = self.client.post(reverse("sign-up"), SUBSCRIBER)

        self.assertRedirects(response, reverse("joined"))
        job = Job.objects.get()
        self.assertEqual(job.funcname, "Welcome")
        self.assertEqual(job.arg, {"subscriber": Subscriber.objects.get().pk})

    def test_joining_twice_dispatches_nothing_more(self) -> None:
        self.client.post(reverse("sign-up"), SUBSCRIBER)

        self.client.post(reverse("sign-up"), SUBSCRIBER)

        self.assertEqual(Job.objects.count(), 1)

    def test_a_request_that_rolls_back_dispatches_nothing(self) -> None:
        def fail(**kwargs: object) -> None:
            self.assertEqual(Job.objects.count(), 1)
            raise RuntimeError("after the dispatch, before the commit")

        post_save.connect(fail, sender=Subscriber)
        self.addCleanup(post_save.disconnect, fail, sender=Subscriber)

        with self.assertRaises(RuntimeError):
            self.client.post(reverse("sign-up"), SUBSCRIBER)

        self.assertFalse(Subscriber.objects.exists())
        self.assertFalse(Job.objects.exists())


class SendActionTests(TestCase):
    def test_sending_twice_queues_one_broadcast(self) -> None:
        self.client.force_login(get_user_model().objects.create_superuser("admin"))
        mailing = Mailing.objects.create(subject="News", body="All is well.")
        action = {"action": "send", "_selected_action": [mailing.pk]}

        for _ in range(2):
            self.client.post(reverse("admin:mailinglist_mailing_changelist"), action)

        self.assertEqual(Job.objects.get().funcname, "Broadcast")


class MailTests(TransactionTestCase):
    """Jobs performed in this process, their mail sent for real to a server in a thread."""

    def setUp(self) -> None:
        logging.disable(logging.WARNING)
        self.addCleanup(logging.disable, logging.NOTSET)
        self.smtpd = self.enterContext(Smtpd())
        self.enterContext(override_settings(MAIL_SERVER=self.smtpd.address))

    def subscribe(self, *emails: str) -> None:
        Subscriber.objects.bulk_create([Subscriber(email=email) for email in emails])

    def broadcast(self) -> Mailing:
        mailing = Mailing.objects.create(subject="News", body="All is well.")
        mailing.send()
        perform_all_jobs()
        return mailing

    def test_a_new_subscriber_is_welcomed(self) -> None:
        Subscriber.objects.create(email="ann@alpha.example")

        perform_all_jobs()

        self.assertIsNotNone(Subscriber.objects.get().welcomed)
        self.assertEqual(self.smtpd.world.counts["accepted"], 1)

    def test_a_welcome_that_is_deferred_is_retried(self) -> None:
        Subscriber.objects.create(email="ann+later@alpha.example")

        perform_all_jobs()

        self.assertIsNotNone(Subscriber.objects.get().welcomed)
        self.assertIn("SMTPRecipientsRefused", Error.objects.get().exception)

    def test_every_subscriber_gets_the_mailing(self) -> None:
        self.subscribe("ann@alpha.example", "bob@beta.example")

        mailing = self.broadcast()

        delivered = mailing.deliveries.filter(state=Delivery.State.DELIVERED)
        self.assertEqual(delivered.count(), 2)
        self.assertEqual(self.smtpd.world.counts["accepted"], 2)

    def test_the_mails_to_one_domain_share_a_connection(self) -> None:
        self.subscribe("ann@alpha.example", "bob@beta.example", "cat@alpha.example")

        self.broadcast()

        self.assertEqual(self.smtpd.world.counts["connections"], 2)

    def test_a_deferred_mail_is_delivered_by_a_retry(self) -> None:
        self.subscribe("ann+twice@alpha.example")

        self.broadcast()

        delivery = Delivery.objects.get()
        self.assertEqual((delivery.state, delivery.attempts), ("delivered", 3))
        self.assertEqual(Error.objects.count(), 2)

    def test_a_mail_deferred_for_ever_is_given_up(self) -> None:
        self.subscribe("ann+never@alpha.example")

        self.broadcast()

        delivery = Delivery.objects.get()
        self.assertEqual((delivery.state, delivery.attempts), ("rejected", 4))
        self.assertEqual(exit_status_of_delivery(), 451)

    def test_a_rejected_mail_is_not_tried_again(self) -> None:
        self.subscribe("ann+gone@alpha.example")

        self.broadcast()

        delivery = Delivery.objects.get()
        self.assertEqual((delivery.state, delivery.attempts), ("rejected", 1))
        self.assertEqual(exit_status_of_delivery(), 550)

    def test_a_busy_domain_is_called_later_and_that_is_no_failure(self) -> None:
        self.subscribe("ann@busy.example")

        self.broadcast()

        self.assertEqual(self.smtpd.world.counts["turned away"], 1)
        self.assertEqual(Delivery.objects.get().attempts, 1)
        self.assertFalse(Error.objects.exists())

    def test_a_server_that_cannot_be_reached_is_no_failure(self) -> None:
        self.subscribe("ann@alpha.example")
        mailing = Mailing.objects.create(subject="News", body="All is well.")
        mailing.send()

        with override_settings(MAIL_SERVER=f"{HOST}:{free_port()}"):
            our_client().work_until_done()

        self.assertEqual(Job.objects.get().funcname, "Deliver")
        self.assertFalse(Error.objects.exists())

    def test_a_mailing_sent_again_reaches_only_who_came_since(self) -> None:
        self.subscribe("ann@alpha.example")
        mailing = self.broadcast()
        self.subscribe("bob@alpha.example")

        mailing.send()
        perform_all_jobs()

        self.assertEqual(self.smtpd.world.counts["accepted"], 2)

    def test_who_leaves_the_list_gets_no_mail_still_queued(self) -> None:
        self.subscribe("ann@alpha.example")
        mailing = Mailing.objects.create(subject="News", body="All is well.")
        mailing.send()
        our_client().work_once()
        Subscriber.objects.all().delete()

        perform_all_jobs()

        self.assertEqual(self.smtpd.world.counts["accepted"], 0)


def perform_all_jobs() -> None:
    """Perform jobs until none is left; those that wait for a retry are made due at once."""
    while Job.objects.exists():
        our_client().work_until_done()
        Job.objects.update(run_after=0)


def our_client() -> TheSchwartz:
    """Return a client that performs the jobs of all our workers, as runschwartz does."""
    client = TheSchwartz()
    for worker in (Welcome, Broadcast, Deliver):
        client.can_do(worker)
    return client


def exit_status_of_delivery() -> int:
    return ExitStatus.objects.get(func__funcname="Deliver").status
