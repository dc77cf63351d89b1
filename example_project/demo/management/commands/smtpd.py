import threading

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from demo.smtpd import Smtpd


class Command(BaseCommand):
    help = "Receive the mail of all domains on MAIL_SERVER's port, a line a mail. Ctrl-C ends it."

    def add_arguments(self, parser: CommandParser) -> None:
        port = int(settings.MAIL_SERVER.split(":")[1])
        parser.add_argument("--port", type=int, default=port, help="default: %(default)s")

    def handle(self, *, port: int, **options: object) -> None:
        with Smtpd(port, report=self.stdout.write) as smtpd:
            self.stdout.write(f"Receiving mail on {smtpd.address}.")
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                self.stdout.write(f"Done: {dict(smtpd.world.counts)}")
