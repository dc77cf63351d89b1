"""schwartz_torture: breaks the queue in every way, and tells whether anything was lost."""

import os
import random
import shlex
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.conf import conf
from django_schwartz.engine import LEAST_LEASE_SECONDS
from django_schwartz.exceptions import SchwartzError, one_line
from django_schwartz.management.arguments import at_least, databases, positive
from django_schwartz.torture.account import Account
from django_schwartz.torture.audit import Audit
from django_schwartz.torture.hosts import library_of_wrong_clocks
from django_schwartz.torture.plants import PLANTS
from django_schwartz.torture.report import report, slower
from django_schwartz.torture.storm import Plan, Storm
from django_schwartz.upgrades import unapplied


class Command(BaseCommand):
    help = (
        "Dispatches jobs of every kind while it kills workers and cuts connections, then tells "
        "whether a job was lost, stuck, or performed twice without a reason."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        some: dict[str, Any] = {"type": at_least(1), "metavar": "N"}
        whole: dict[str, Any] = {"type": int, "metavar": "N"}
        seconds: dict[str, Any] = {"type": positive(float), "metavar": "SECONDS"}
        parser.add_argument(
            "--database",
            action="append",
            metavar="ALIAS",
            dest="databases",
            help="A queue database. Repeatable; SCHWARTZ['DATABASES'] otherwise.",
        )
        parser.add_argument(
            "--seconds", **seconds, default=60, help="Time of load and faults (60)."
        )
        parser.add_argument(
            "--jobs",
            type=positive(int),
            metavar="N",
            help="Jobs in that time (30 a second).",
        )
        parser.add_argument("--seed", **whole, help="What is drawn at random (at random).")
        parser.add_argument("--hosts", **some, default=2, help="Supervisors at a time (2).")
        parser.add_argument("--processes", **some, default=2, help="Processes of each (2).")
        parser.add_argument("--threads", **some, default=4, help="Threads of each process (4).")
        parser.add_argument(
            "--pause", **seconds, default=0.3, help="Time between two faults (0.3)."
        )
        parser.add_argument(
            "--lease-seconds",
            type=at_least(LEAST_LEASE_SECONDS),
            metavar="N",
            default=4,
            help=f"LEASE_SECONDS of the workers (4), {LEAST_LEASE_SECONDS} at the least.",
        )
        parser.add_argument(
            "--drain-seconds",
            **seconds,
            default=180,
            help="Time for what is left, before it counts as stuck (180).",
        )
        parser.add_argument(
            "--restart-command",
            default="",
            metavar="COMMAND",
            help="Restart the database by this command, about every 10 seconds.",
        )
        parser.add_argument(
            "--skew",
            **whole,
            default=0,
            help="Have the clocks of every second host wrong by N seconds, by libfaketime.",
        )
        parser.add_argument(
            "--strict-times",
            action="store_true",
            help="Fail, too, if jobs of what was killed come back later than they should.",
        )
        parser.add_argument(
            "--plant",
            choices=sorted(filter(None, PLANTS)),
            default="",
            help="Break the package first, to see that it is found.",
        )

    def handle(self, *args: object, **options: Any) -> None:
        _check_settings()
        plan = _plan(options)
        _check_restart_command(plan.restart_command)
        _check_skew(plan)
        _check_databases(plan.databases)
        folder = Path(tempfile.mkdtemp(prefix="schwartz_torture_"))
        self.stdout.write(f"ledger and log, kept if something is wrong: {folder}; seed {plan.seed}")
        account, audit = self._run(plan, folder)
        self.stdout.write(report(account, audit, seed=plan.seed, lease_seconds=plan.lease_seconds))
        if audit.is_clean:
            shutil.rmtree(folder)
        is_late = options["strict_times"] and slower(audit, plan.lease_seconds)
        if account.gap or is_late or not audit.is_clean:
            raise SystemExit(1)

    def _run(self, plan: Plan, folder: Path) -> tuple[Account, Audit]:
        try:
            return Storm(plan, folder).run()
        except (SchwartzError, AnyDatabaseError) as error:
            raise CommandError(f"{one_line(error)} (ledger and log: {folder})") from error
        except KeyboardInterrupt as interrupt:
            shutil.rmtree(folder)
            self.stderr.write("Interrupted: nothing is shown.")
            raise SystemExit(128 + signal.SIGINT) from interrupt


def _check_settings() -> None:
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise CommandError(
            "schwartz_torture starts processes of its own, which import the settings: put them into"
            " a module, and name that in DJANGO_SETTINGS_MODULE."
        )


def _plan(options: dict[str, Any]) -> Plan:
    databases = list(dict.fromkeys(options["databases"] or conf().databases))
    given = {name: options[name] for name in _NAMES}
    seed = random.randrange(10**6) if options["seed"] is None else options["seed"]  # noqa: S311
    jobs = options["jobs"] or max(1, int(30 * options["seconds"]))
    return Plan(**{**given, "databases": databases, "seed": seed, "jobs": jobs})


def _check_restart_command(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandError(f"--restart-command {command!r} cannot be read: {error}.") from error
    if words and not shutil.which(words[0]):
        raise CommandError(f"--restart-command: there is no program {words[0]!r} to run.")


def _check_skew(plan: Plan) -> None:
    if plan.skew and plan.hosts < 2:
        raise CommandError("--skew is for every second host: give --hosts 2 or more.")
    if plan.skew and library_of_wrong_clocks() is None:
        raise CommandError("--skew needs libfaketime: install it (apt-get install faketime).")


def _check_databases(aliases: Sequence[str]) -> None:
    for alias in databases(aliases):
        try:
            connections[alias].ensure_connection()
        except (AnyDatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"{alias!r} cannot be used: {one_line(error)}") from error
        if missing := unapplied(alias):
            raise CommandError(
                f"{alias!r} lacks {', '.join(missing)}: run `manage.py migrate --database {alias}`."
            )


#: Options that a plan takes as they are.
_NAMES = (
    "seconds",
    "hosts",
    "processes",
    "threads",
    "pause",
    "lease_seconds",
    "drain_seconds",
    "restart_command",
    "skew",
    "plant",
)
