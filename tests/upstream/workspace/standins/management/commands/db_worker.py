"""The worker command of django-tasks-db's tests, performed by ours."""

from django.core.management import BaseCommand, call_command


class Command(BaseCommand):
    def add_arguments(self, parser):
        for option in ("--batch", "--no-startup-delay"):
            parser.add_argument(option, action="store_true")
        for option in ("--interval", "--worker-id", "--startup-delay"):
            parser.add_argument(option)

    def handle(self, **options):
        call_command("runschwartz", until_done=True, reload=False, processes=0)
