"""runschwartz: the worker process."""

import argparse
import logging
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.conf import conf
from django_schwartz.exceptions import UnknownFunction
from django_schwartz.performance import StopNow
from django_schwartz.reloading import start_anew, watch_code
from django_schwartz.runner import Runner, stopping_on_signals
from django_schwartz.worker import registry

logger = logging.getLogger("django_schwartz")

LEVELS = {0: logging.WARNING, 1: logging.INFO}


class Command(BaseCommand):
    help = "Grabs jobs from the queue and performs them, until told to stop by SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--worker",
            action="append",
            metavar="NAME",
            dest="workers",
            help="Perform jobs of this worker only. Repeatable; all registered workers otherwise.",
        )
        parser.add_argument(
            "--database",
            action="append",
            metavar="ALIAS",
            dest="databases",
            help="Look in this database only. Repeatable; SCHWARTZ['DATABASES'] otherwise.",
        )
        parser.add_argument(
            "--queue",
            action="append",
            metavar="NAME",
            dest="queues",
            help='Perform jobs of this queue only; "default" has those that name none. Repeatable.',
        )
        parser.add_argument(
            "--exclude-queue",
            action="append",
            metavar="NAME",
            dest="excluded_queues",
            help="Perform no jobs of this queue. Repeatable.",
        )
        parser.add_argument(
            "--processes",
            type=int,
            choices=[0],
            default=0,
            help="0, for now the only number: perform the jobs in this process.",
        )
        parser.add_argument("--until-done", action="store_true", help="End when nothing is due.")
        parser.add_argument(
            "--max-jobs", type=_positive(int), metavar="N", help="End after N jobs."
        )
        parser.add_argument(
            "--delay",
            type=_positive(float),
            metavar="SECONDS",
            help="Seconds to wait when nothing is due (SCHWARTZ['POLL_SECONDS']).",
        )
        parser.add_argument(
            "--reload",
            action=argparse.BooleanOptionalAction,
            default=settings.DEBUG,
            help="Start anew, between two jobs, when the code changes. On where DEBUG is.",
        )

    def check(self, **options: Any) -> None:  # type: ignore[override]
        """Check all but what asks the databases: one that is away is waited for, not failed on."""
        super().check(**{**options, "databases": []})

    def handle(self, *args: object, **options: Any) -> None:
        self._show_log(options["verbosity"])
        client = self._client(options["workers"], options["databases"])
        client.queues = options["queues"] or []
        client.excluded_queues = options["excluded_queues"] or []
        runner = Runner(
            client,
            delay=options["delay"] or conf().poll_seconds,
            until_done=options["until_done"],
            max_jobs=options["max_jobs"],
        )
        if self._run(runner, reload=options["reload"]):
            logger.info("the code changed: starting anew")
            start_anew()

    def _run(self, runner: Runner, *, reload: bool) -> bool:
        """Run to the end; True if that is a change of the code."""
        changes: list[bool] = []

        def restart() -> None:
            changes.append(True)
            runner.stop()

        with stopping_on_signals(runner):
            if reload:
                watch_code(restart)
            logger.info("performing %s", ", ".join(runner.client.all_abilities))
            try:
                runner.run()
            except StopNow as stop:
                raise SystemExit(128 + stop.args[0]) from None
        logger.info("stopped after %d jobs", runner.performed)
        return bool(changes)

    @staticmethod
    def _client(workers: list[str] | None, databases: list[str] | None) -> TheSchwartz:
        for alias in databases or []:
            if alias not in connections:
                raise CommandError(f"DATABASES has no {alias!r}; it has {', '.join(connections)}.")
        client = TheSchwartz(databases)
        if workers is None:
            client.can_do_all()
        try:
            for name in workers or []:
                client.can_do(name)
        except UnknownFunction as error:
            raise CommandError(str(error)) from error
        if not client.all_abilities and not registry.finders:
            raise CommandError(
                "No worker is registered. Put a Worker class under @register into a "
                "module `workers` of an installed app."
            )
        return client

    def _show_log(self, verbosity: int) -> None:
        """Show the log on standard error in a project that configured none."""
        if logger.hasHandlers():
            return
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(LEVELS.get(verbosity, logging.DEBUG))


def _positive(kind: type[Any]) -> Any:
    def parse(text: str) -> Any:
        number = kind(text)
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not more than 0")
        return number

    return parse
