"""The whole way of a mailing, from an empty database to a summary that adds up."""

import secrets
import shlex
import signal
import sys
import time
from argparse import ArgumentTypeError
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from mailinglist.models import Mailing, Subscriber

from demo.processes import WorkerProcesses
from demo.progress import Progress
from demo.recipients import RECIPIENTS_CSV, import_recipients
from demo.smtpd import Smtpd
from demo.summary import Start, Summary, jobs_left

ADMIN, PASSWORD = "admin", "demo"
SIGN_UPS = 3
LOOK_SECONDS = 0.1


class Command(BaseCommand):
    help = "Send a mailing to 2,000 recipients through the queue, over real SMTP, and sum it up."
    is_shutting_down = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--recipients", type=positive, help="only so many of the CSV file")
        parser.add_argument("--workers", type=positive, default=2, help="processes (%(default)s)")
        log = settings.BASE_DIR / "demo.log"
        parser.add_argument("--log", type=Path, default=log, help="of the workers (%(default)s)")

    def handle(self, *, recipients: int | None, workers: int, log: Path, **options: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.note_shutdown)
        self.migrate()
        self.create_admin()
        self.import_recipients(recipients)
        start = Start()
        self.sign_up()
        mailing = self.broadcast()
        with Smtpd() as smtpd:
            self.say("Workers", f"{workers} x manage.py runschwartz, which log to {log}")
            with WorkerProcesses(workers, mail_server=smtpd.address, log=log) as processes:
                self.wait_for(mailing, processes)
                summary = Summary.of(mailing, since=start, server=smtpd.world.counts)
        self.conclude(summary)

    def note_shutdown(self, *signal_and_frame: object) -> None:
        """Leave it to wait_for: an exception out of here could hit a half-started worker."""
        self.is_shutting_down = True

    def migrate(self) -> None:
        call_command("migrate", verbosity=0)
        self.say("Database", f"{connection.display_name}, {connection.settings_dict['NAME']}")

    def create_admin(self) -> None:
        users = get_user_model().objects
        if not users.filter(username=ADMIN).exists():
            users.create_superuser(ADMIN, password=PASSWORD)

    def import_recipients(self, count: int | None) -> None:
        new = import_recipients(count)
        self.say("Import", f"{new:,} new recipients of {RECIPIENTS_CSV.name}")

    def sign_up(self) -> None:
        """Add a few subscribers as the site does, where post_save dispatches a Welcome."""
        for _ in range(SIGN_UPS):
            guest = f"guest-{secrets.token_hex(4)}"
            Subscriber.objects.create(email=f"{guest}@guests.example", name=guest)
        self.say("Sign-ups", f"{SIGN_UPS}, a Welcome job each")

    def broadcast(self) -> Mailing:
        with transaction.atomic():
            number = Mailing.objects.count() + 1
            mailing = Mailing.objects.create(subject=f"News no. {number}", body="All is well.")
            mailing.send()
        self.say("Mailing", f"“{mailing}”, one Broadcast job")
        return mailing

    def wait_for(self, mailing: Mailing, processes: WorkerProcesses) -> None:
        """Show the progress of mailing until no job is left, neither its own nor an older one."""
        progress = Progress(self.stdout)
        while left := jobs_left():
            if self.is_shutting_down:
                progress.clear()
                stopped = "Stopped. What is queued stays queued: the next demo finishes it."
                raise CommandError(stopped, returncode=130)
            if processes.have_died():
                raise CommandError(f"A worker ended by itself:\n{processes.last_words()}")
            now = Mailing.objects.with_progress().get(pk=mailing.pk)
            progress.show(now.settled, now.recipients, f"jobs queued: {left:,}")
            time.sleep(LOOK_SECONDS)
        progress.clear()

    def conclude(self, summary: Summary) -> None:
        self.stdout.write("")
        for label, text in summary.lines():
            self.say(label, text)
        if contradictions := summary.contradictions():
            raise CommandError("It does not add up:\n" + "\n".join(contradictions))
        self.stdout.write(self.style.SUCCESS("\nIt adds up, and no job is left."))
        runserver = shlex.join([sys.executable, sys.argv[0], "runserver"])
        self.stdout.write(
            f"\nNow look at it in the admin, as {ADMIN!r} with the password {PASSWORD!r}:\n"
            f"    {runserver}\n"
            "    http://127.0.0.1:8000/admin/"
        )

    def say(self, label: str, text: str) -> None:
        self.stdout.write(f"{label:<18}{text}")
        self.stdout.flush()  # who reads it through a pipe waits for minutes otherwise


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)
